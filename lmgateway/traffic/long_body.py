"""A body that is too long to decode at once: the members that are looked for, and what is filled in."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct, structs

from .json_patterns import ESCAPE, SPACE_CHARACTERS, SPACES, UTF8
from .members import MemberScan

# A longer value of one of the members has no meaning, and is cut off.
VALUE_BYTES = 4096
# A body in which a member's name occurs more often is scanned.
_MAX_PLACES = 100
_TEXT_BEGINNING = re.compile(rb'"(?>(?:[^"\\\x80-\xff]|%s|%s){0,300})' % (ESCAPE, UTF8))

Parts = tuple[memoryview, ...]


class LongBody(Struct, frozen=True):
    """A body, and the members that are looked for; `fields` is None if it isn't a JSON object.

    `start` is the position behind the opening brace. `names` has the positions of the members' names, `spans`
    the places of the values, both only of a body that was scanned.
    """

    text: bytes | bytearray
    fields: Mapping[str, Raw] | None
    start: int = 0
    is_empty: bool = False
    spans: Mapping[str, tuple[int, int]] = {}
    names: Mapping[str, int] = {}

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
        return cls(text, fields, scan.start, scan.is_empty, scan.spans, scan.names)

    def value(self, name: str) -> bytes | memoryview | None:
        """Return a member's complete value; None if there is no such member, or it isn't looked for."""
        if (span := self.spans.get(name)) is not None:
            return memoryview(self.text)[slice(*span)]
        value = (self.fields or {}).get(name)
        return None if value is None else memoryview(value)

    def with_fields(self, *names: str) -> LongBody:
        """Return the body without the copies of the other members' values."""
        fields = self.fields or {}
        return structs.replace(self, fields={name: fields[name] for name in names if name in fields})

    def is_located(self, name: str) -> bool:
        """True if with_members() can replace this member, or add it."""
        return name in self.spans or name not in (self.fields or {})

    def located(self, name: str) -> LongBody | None:
        """Return the body with the place of this member, which it has; None if only a scan can find it.

        The name must be of letters from a to o. 0.2 ms for a megabyte, a scan up to 60.
        """
        value = re.escape(bytes((self.fields or {})[name]))
        member = re.compile(rb'"%s"%s:%s(%s)' % (name.encode(), SPACES, SPACES, value))
        # The member's name may be spelled with escapes, and that of another, deeper one without.
        if b"\\u006" in self.text:
            return None
        found: list[tuple[int, int]] = []
        at = -1
        for _ in range(_MAX_PLACES):
            if (at := self.text.find(b'"%s"' % name.encode(), at + 1)) < 0:
                return structs.replace(self, spans={name: found[0]}) if len(found) == 1 else None
            # Behind a backslash the quotation mark is part of a text.
            if self.text[at - 1 : at] != b"\\" and (match := member.match(self.text, at)) is not None:
                found.append(match.span(1))
        return None

    def with_members(self, added: Mapping[str, object], *, without: str | None = None) -> Parts:
        """Return the body with these members, and without that one, which it must have.

        A member that it has already gets the new value. All other bytes stay, except a comma beside what is
        left out, and a byte order mark if anything changes.
        """
        view = memoryview(self.text)
        if not (added or without):
            return (view,)
        edits = {
            self.spans[name]: msgspec.json.encode(added[name]) for name in added.keys() & self.spans.keys()
        }
        is_empty = self.is_empty
        if without is not None:
            cut = self._with_comma(without)
            edits[cut] = b""
            is_empty = cut == (self.names[without], self.spans[without][1])
        parts = [view[len(BOM_UTF8) if self.text.startswith(BOM_UTF8) else 0 : self.start]]
        inserted = {name: value for name, value in added.items() if name not in self.spans}
        if inserted:
            comma = b"" if is_empty else b","
            parts.append(memoryview(msgspec.json.encode(inserted)[1:-1] + comma))
        at = self.start
        for (start, end), value in sorted(edits.items()):
            parts += (view[at:start], memoryview(value))
            at = end
        parts.append(view[at:])
        return tuple(parts)

    def _with_comma(self, name: str) -> tuple[int, int]:
        """Return the place of a member and of one comma beside it; of the only member, its own place."""
        start, end = self.names[name], self.spans[name][1]
        # Between a member and the commas beside it there are only spaces, and so there are behind the object.
        if (comma := self.text.find(b",", end)) >= 0:
            return start, comma + 1
        comma = self.text.rfind(b",", self.start, start)
        return (start if comma < 0 else comma), end


def _beginning(text: bytes | bytearray, start: int, end: int) -> bytes:
    """Return this value; the beginning of a long text, and a part that isn't JSON of any other long value."""
    value = bytes(text[start : min(end, start + VALUE_BYTES)])
    beginning = None if end - start == len(value) else _TEXT_BEGINNING.match(value)
    return value if beginning is None else beginning[0] + b'"'
