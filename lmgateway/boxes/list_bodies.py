"""The bodies of an LM Studio's lists of models, as they are kept for the time in which it can't be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import structs

from .listing import Listing, parse_native, parse_older

NATIVE_PATH, SERVED_PATH = "/api/v1/models", "/v1/models"

Bodies = Mapping[str, bytes]
"""Bodies by the path that each was sent for."""

# LM Studio may send the current time with each entry.
_TIMES = re.compile(rb'"created"\s*:\s*[0-9]+')


class Lists(NamedTuple):
    """LM Studio's own list, and OpenAI's. None is one that LM Studio didn't send."""

    native: Listing | None
    served: Listing | None

    def with_on_demand(self, listing: Listing) -> Listing:
        """Return the listing with the models that LM Studio serves without having them in memory."""
        names = frozenset(() if self.served is None else self.served.models)
        return structs.replace(listing, on_demand=names - listing.instances.keys())

    def of(self, bodies: Bodies) -> Bodies:
        """Return those of the bodies, from which these lists were parsed, that are lists."""
        parsed = {NATIVE_PATH: self.native, SERVED_PATH: self.served}
        return {path: bodies[path] for path, listing in parsed.items() if listing is not None}


def parse_lists(bodies: Bodies) -> Lists:
    return Lists(parse_native(bodies.get(NATIVE_PATH, b"")), parse_older(bodies.get(SERVED_PATH, b"")))


def have_changed(before: Bodies, after: Bodies) -> bool:
    """True if the bodies differ in more than the times in them."""
    return before != after and _timeless(before) != _timeless(after)


def _timeless(bodies: Bodies) -> Bodies:
    return {path: _TIMES.sub(b"", body) for path, body in bodies.items()}
