"""Leaves models out of the lists that LM Studio sends over HTTP, and merges several. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

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
_INSTANCES = "loaded_instances"
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


class _Entry(NamedTuple):
    """An entry, whether its state is "loaded", and its instances, each with its identifier if it has one."""

    name: str
    whole: Raw
    members: Members
    is_loaded: bool
    instances: Sequence[tuple[str | None, Raw]]

    @classmethod
    def parsed(cls, whole: Raw, name: str) -> _Entry | None:
        """Return None if it has no name. Raises as raw_json."""
        inner = members(whole)
        named = text(inner.get(name))
        if named is None:
            return None
        instances = [(text(members(one).get("id")), one) for one in items(inner.get(_INSTANCES))]
        return cls(named, whole, inner, text(inner.get("state")) == "loaded", instances)


class _List(NamedTuple):
    fields: Members
    entries: Sequence[_Entry]


def merged(path: str, bodies: Sequence[bytes]) -> bytes | None:
    """Return the union of several LM Studios' lists of this path, None if none of the bodies is one.

    The models are in the order of the lists. Of a model in more than one, the first list's entry is taken,
    byte for byte, except that one in memory comes before one that isn't (`/api/v0`), and that the entry gets
    the instances of all lists, each identifier once (`/api/v1`). All else is the first list's. A body that
    isn't a list is left out, and so is an entry without a name.
    """
    # Together, so that the same lone surrogate is masked by the same character in all of them.
    together = b"\n".join(bodies)
    masked = None if is_costly(together) else Masked(together)
    texts = bodies if masked is None else list(_cut(masked.text, bodies))
    lists = [parsed for text in texts if (parsed := _parsed(path, text)) is not None]
    if not lists:
        return None
    found: dict[str, list[_Entry]] = {}
    for each in lists:
        for entry in each.entries:
            found.setdefault(entry.name, []).append(entry)
    shown = b",".join([bytes(_merged_entry(path, entries)) for entries in found.values()])
    union = msgspec.json.encode({**lists[0].fields, LISTS[path][0]: Raw(b"[%s]" % shown)})
    return masked.restore(union) if masked else union


def _cut(together: bytes, bodies: Sequence[bytes]) -> Iterator[bytes]:
    start = 0
    for body in bodies:
        yield together[start : start + len(body)]
        start += len(body) + 1


def _parsed(path: str, body: bytes) -> _List | None:
    list_name, name = LISTS[path]
    try:
        fields = _OBJECT.decode(body)
        if not bytes(fields.get(list_name, b"")).startswith(b"["):
            return None
        entries = [_Entry.parsed(whole, name) for whole in items(fields[list_name])]
    except _NO_LIST:
        return None
    return _List(fields, [entry for entry in entries if entry is not None])


def _merged_entry(path: str, entries: Sequence[_Entry]) -> Raw:
    first, *others = entries
    match path:
        case "/api/v0/models":
            return next((one for one in entries if one.is_loaded), first).whole
        case "/api/v1/models":
            seen = {identifier for identifier, _ in first.instances}
            added = list[Raw]()
            for identifier, instance in (each for one in others for each in one.instances):
                if identifier is None or identifier not in seen:
                    seen.add(identifier)
                    added.append(instance)
            if added:
                listed = b",".join(map(bytes, (*(one for _, one in first.instances), *added)))
                return Raw(msgspec.json.encode({**first.members, _INSTANCES: Raw(b"[%s]" % listed)}))
    return first.whole
