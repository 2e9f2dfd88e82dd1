"""A body that is short enough to decode at once: its members, and what is filled in."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from .surrogates import Masked

# A body of this length takes at most 8 ms to decode and fill in, whatever it contains.
SHORT_BYTES = 64 * 1024
# msgspec raises UnicodeDecodeError only when it decodes the string that isn't UTF-8.
_NO_OBJECT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])


class ShortBody(Struct, frozen=True, gc=False):
    """A body and all its members; `fields` is None if it isn't a JSON object.

    `bare` is the body without its byte order mark, `masked` the same with lone surrogates replaced, if it has
    any.
    """

    text: bytes
    fields: Mapping[str, Raw] | None
    bare: bytes
    masked: Masked | None = None

    @classmethod
    def decoded(cls, text: bytes) -> ShortBody:
        try:
            return cls(text, _MEMBERS.decode(text), text)
        except _NO_OBJECT:
            return cls._decoded_odd(text)

    @classmethod
    def _decoded_odd(cls, text: bytes) -> ShortBody:
        """As `decoded`, for a body that msgspec rejects."""
        bare = text.removeprefix(BOM_UTF8)  # RFC 8259 section 8.1 lets a reader ignore it
        masked = Masked(bare)
        try:
            fields = _MEMBERS.decode(masked.text)
        except _NO_OBJECT:
            return cls(text, None, bare)
        if not masked:
            return cls(text, fields, bare)
        return cls(text, {name: Raw(masked.restore(raw)) for name, raw in fields.items()}, bare, masked)

    def value(self, name: str) -> bytes | None:
        """Return a member's value byte for byte, None if there is no such member."""
        value = (self.fields or {}).get(name)
        return None if value is None else bytes(value)

    def with_members(self, added: Mapping[str, object], *, without: str | None = None) -> bytes:
        """Return the body with these members, and without that one, which it must have.

        A member that it has already gets the new value. The bytes of all other members stay. A byte order
        mark is dropped if anything changes.
        """
        if self.fields is None or not (added or without):
            return self.text
        if without is not None or not self.fields.keys().isdisjoint(added):
            changed = {**self.fields, **added}
            if without is not None:
                del changed[without]
            replaced = msgspec.json.encode(changed)
            return replaced if self.masked is None else self.masked.restore(replaced)
        # Inserted after the opening brace, so that the client's bytes stay unchanged.
        members = msgspec.json.encode(added)[1:-1]
        start = self.bare.index(b"{") + 1
        comma = b"," if self.fields else b""
        return b"".join((self.bare[:start], members, comma, memoryview(self.bare)[start:]))
