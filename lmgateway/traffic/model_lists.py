"""Leaves models out of the lists that LM Studio sends over HTTP. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from .raw_json import Members, items, members, text
from .surrogates import Masked, is_costly

# The path of each list, with the member that it is in, and that of an entry's name.
LISTS: Mapping[str, tuple[str, str]] = {
    "/v1/models": ("data", "id"),
    "/api/v0/models": ("data", "id"),
    "/api/v1/models": ("models", "key"),
}
# Fields by which a client would get an answer without a body, or a part of one.
CONDITIONAL = (
    *("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"),
)
# Fields that describe the whole list, or its bytes.
OF_THE_WHOLE = ("ETag", "Last-Modified", "Content-Length", "Content-MD5", "Content-Digest", "Repr-Digest")
_NO_LIST = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_OBJECT = msgspec.json.Decoder(Members)


def filtered(path: str, body: bytes, allows: Callable[[str], bool]) -> bytes | None:
    """Return the list of this path with only the entries whose names are allowed, None if it isn't one.

    All other members, and those of the entries, stay byte for byte.
    """
    try:
        return _filtered(path, body, allows)
    except _NO_LIST:  # perhaps because of a lone surrogate
        if is_costly(body):
            return None
    masked = Masked(body)
    try:
        shown = _filtered(path, masked.text, allows)
    except _NO_LIST:
        return None
    return None if shown is None else masked.restore(shown)


def _filtered(path: str, body: bytes, allows: Callable[[str], bool]) -> bytes | None:
    list_name, name = LISTS[path]
    fields = _OBJECT.decode(body)
    if not bytes(fields.get(list_name, b"")).startswith(b"["):
        return None

    def is_allowed(entry: Raw) -> bool:
        named = text(members(entry).get(name))
        return named is not None and allows(named)

    shown = b",".join([bytes(entry) for entry in items(fields[list_name]) if is_allowed(entry)])
    return msgspec.json.encode({**fields, list_name: Raw(b"[%s]" % shown)})
