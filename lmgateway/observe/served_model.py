"""Which model answered, if it isn't the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable

# Returns the key of the model that has this name: a key, a path or an instance's identifier. An unknown name
# is returned unchanged.
ModelOf = Callable[[str], str]

# LM Studio's identifiers for further instances of a model are `key:2`, `key:3`.
_INSTANCE_NUMBER = re.compile(r":[0-9]+\Z")


def other_model(asked: str | None, answered: str, model_of: ModelOf) -> str | None:
    """Return the name that answered, None if it is an instance of the model that was asked for."""
    if asked is None:
        return answered
    asked_key, key = (_INSTANCE_NUMBER.sub("", model_of(name)) for name in (asked, answered))
    # `key@variant` is a name too. If only one of the names has a variant, it may be the other's as well.
    is_same = asked_key == key or asked_key.partition("@")[0] == key or asked_key == key.partition("@")[0]
    return None if is_same else answered
