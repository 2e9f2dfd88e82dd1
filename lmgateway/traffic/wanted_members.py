"""The members of a JSON object that are looked for: a decoder of them, and a pattern for all others."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Raw

from . import json_patterns as json

_ABSENT = Raw()


def spellings(name: str) -> bytes:
    """Return a pattern for this text of letters and underscores, whose characters may be escaped."""

    def spelled(character: str) -> str:
        code = f"{ord(character):02x}"
        return f"(?:{character}|\\\\u00{code[0]}[{code[1]}{code[1].upper()}])"

    return "".join(map(spelled, name)).encode()


class WantedMembers:
    """The members that are looked for, by their names of letters and underscores."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._decoder = msgspec.json.Decoder(
            msgspec.defstruct("Members", [(name, Raw, _ABSENT) for name in names])
        )
        wanted, spelled = (b"|".join(map(spell, sorted(self._names))) for spell in (str.encode, spellings))
        plain = rb'(?!(?:%s)")[^"\\\x00-\x1f\x80-\xff]*+"' % wanted
        escaped = rb'(?!(?:%s)")(?>(?:[^"\\\x00-\x1f\x80-\xff]++|%s|%s)*)"' % (
            spelled,
            json.ESCAPE,
            json.UTF8,
        )
        # Members of other names, which one step skips.
        self.others = json.run_of(
            rb'"(?>%s|%s)%s:%s' % (plain, escaped, json.SPACES, json.SPACES), json.VALUE
        )

    def decode(self, text: bytes | bytearray) -> dict[str, Raw]:
        """Return the members of a JSON object, which takes up to 4 ms for a megabyte.

        Raises DecodeError also for a byte order mark and for a lone surrogate.
        """
        members = self._decoder.decode(text)
        return {name: value for name in self._names if (value := getattr(members, name)) is not _ABSENT}

    def find(self, spelled: bytes) -> str | None:
        """Return the name in this JSON string if it is one of these. Raises UnicodeDecodeError."""
        text = spelled.decode()
        if "\\" in text:
            try:
                name = msgspec.json.decode(spelled, type=str)
            except msgspec.MsgspecError:  # a lone surrogate
                return None
        else:
            name = text[1:-1]
        return name if name in self._names else None
