"""A body that is too long to decode at once: the members that are looked for, and what is filled in."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from .json_patterns import ESCAPE, SPACE_CHARACTERS, UTF8
from .members import MemberScan

# A longer value of one of the members has no meaning, and is cut off.
VALUE_BYTES = 4096
_TEXT_BEGINNING = re.compile(rb'"(?>(?:[^"\\\x80-\xff]|%s|%s){0,300})' % (ESCAPE, UTF8))

Parts = tuple[memoryview, ...]


class LongBody(Struct, frozen=True):
    """A body, and the members that are looked for; `fields` is None if it isn't a JSON object.

    `start` is the position behind the opening brace, `spans` the places of the values, if they are known.
    """

    text: bytes | bytearray
    fields: Mapping[str, Raw] | None
    start: int = 0
    is_empty: bool = False
    spans: Mapping[str, tuple[int, int]] = {}

    @classmethod
    def decoded(cls, text: bytes | bytearray, fields: Mapping[str, Raw]) -> LongBody:
        """Return the JSON object with these members, none of which gets a new value."""
        members = text.rstrip(SPACE_CHARACTERS)[:-1].rstrip(SPACE_CHARACTERS)
        return cls(text, fields, text.index(b"{") + 1, is_empty=members.endswith(b"{"))

    @classmethod
    def scanned(cls, text: bytes | bytearray, scan: MemberScan) -> LongBody:
        """Return the body that this scan has read to its end."""
        if not scan.is_object:
            return cls(text, None)
        fields = {name: Raw(_beginning(text, start, end)) for name, (start, end) in scan.spans.items()}
        return cls(text, fields, scan.start, scan.is_empty, scan.spans)

    def value(self, name: str) -> bytes | memoryview | None:
        """Return a member's complete value; None if there is no such member, or it isn't looked for."""
        if (span := self.spans.get(name)) is not None:
            return memoryview(self.text)[slice(*span)]
        value = (self.fields or {}).get(name)
        return None if value is None else bytes(value)

    def with_members(self, added: Mapping[str, object]) -> Parts:
        """Return the body with these members; a member that it has already gets the new value.

        All other bytes stay, except a byte order mark if anything is added.
        """
        view = memoryview(self.text)
        if not added:
            return (view,)
        parts = [view[len(BOM_UTF8) if self.text.startswith(BOM_UTF8) else 0 : self.start]]
        inserted = {name: value for name, value in added.items() if name not in self.spans}
        if inserted:
            comma = b"" if self.is_empty else b","
            parts.append(memoryview(msgspec.json.encode(inserted)[1:-1] + comma))
        at = self.start
        for name in sorted(added.keys() & self.spans.keys(), key=self.spans.__getitem__):
            start, end = self.spans[name]
            parts += (view[at:start], memoryview(msgspec.json.encode(added[name])))
            at = end
        parts.append(view[at:])
        return tuple(parts)


def _beginning(text: bytes | bytearray, start: int, end: int) -> bytes:
    """Return this value; the beginning of a long text, and a part that isn't JSON of any other long value."""
    value = bytes(text[start : min(end, start + VALUE_BYTES)])
    beginning = None if end - start == len(value) else _TEXT_BEGINNING.match(value)
    return value if beginning is None else beginning[0] + b'"'
