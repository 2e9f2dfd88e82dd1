"""The form of a named key: that which LM Studio's SDKs accept, and no other."""

from __future__ import annotations

import hashlib
import re

import pytest

from lmgateway.access.secrets import id_of, make_key, secret_of

# Of lmstudio-js and of lmstudio-python: their clients refuse any other token.
FORM = re.compile(r"^sk-lm-[A-Za-z0-9]{8}:[A-Za-z0-9]{20}$", re.ASCII)


def test_a_key_has_the_form_that_the_sdks_accept() -> None:
    keys = [make_key() for _ in range(1000)]
    assert [one for one in keys if not FORM.fullmatch(one)] == []
    assert len({id_of(one) for one in keys}) == 1000
    assert len({one[-20:] for one in keys}) == 1000


def test_every_character_is_used() -> None:
    """62 of them: a smaller alphabet would be guessed sooner."""
    assert len(set("".join(make_key()[6:] for _ in range(500)))) == 62 + 1


def test_only_the_id_and_the_digest_are_kept() -> None:
    key = "sk-lm-ABCDefgh:abcdefghij0123456789"
    secret = secret_of(key)
    assert (secret.id, secret.digest) == ("ABCDefgh", hashlib.sha256(key.encode()).digest())
    assert "abcdefghij0123456789" not in repr(secret)


@pytest.mark.parametrize(
    ("key", "key_id"),
    [
        ("sk-lm-ABCDefgh:abcdefghij0123456789", "ABCDefgh"),
        ("sk-lm-ABCDefgh:abcdefghij0123456789\n", None),
        ("sk-lm-ABCDefgh:abcdefghij0123456789x", None),
        ("xsk-lm-ABCDefgh:abcdefghij0123456789", None),
        ("sk-lm-ABCDefgh:abcdefghij012345678", None),
        ("sk-lm-ABCDefg:abcdefghij0123456789", None),
        ("sk-lm-ABCDefgh-abcdefghij0123456789", None),
        ("SK-LM-ABCDefgh:abcdefghij0123456789", None),
        ("sk-lm-ABCDefg\u0665:abcdefghij0123456789", None),
        ("ABCDefgh:abcdefghij0123456789", None),
        ("", None),
    ],
)
def test_what_has_the_form(key: str, key_id: str | None) -> None:
    assert id_of(key) == key_id
