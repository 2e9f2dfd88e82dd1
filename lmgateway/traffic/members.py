"""Finds members of a long JSON object, in pieces, without decoding the rest.

msgspec decodes 64 MiB in one call, which may take seconds: a dict of a million members. This scan takes a
millisecond or two for each piece, and other requests run between the pieces. It accepts the same JSON as
msgspec, and lone surrogates, which LM Studio accepts too.
"""

from __future__ import annotations

import re
import time
from codecs import BOM_UTF8
from collections.abc import Callable

from . import json_patterns as json
from .wanted_members import WantedMembers

# How long a piece takes. Its last step may take as long again.
PIECE_SECONDS = 0.002
# How far one step looks ahead. A longer number counts as malformed; anything else may be longer.
WINDOW_BYTES = 16 * 1024
# Deeper nesting counts as malformed. msgspec's limit is Python's recursion limit, which is about the same.
_MAX_DEPTH = 900
_OBJECT, _ARRAY = ord("{"), ord("[")
_OPENING_OF = bytes.maketrans(b"]}", b"[{")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_DIGITS = frozenset(b"0123456789")
# A number that is followed by less than this may go on behind the window: by a point, or by an exponent.
_EXPONENT_START = len(b"e+")


class _MalformedError(Exception):
    """The text isn't JSON, or not an object."""


class MemberScan:
    """The scan of one text: `step` reads a piece of it.

    When it is complete, `is_object` is true if the text is a JSON object. `start` is the position behind the
    opening brace, and `spans` has the places of the values that are looked for; of a repeated member the last
    one, which counts. `names` has the positions of their names, and `repeated` the repeated ones. `is_empty`:
    the object has no members.
    """

    def __init__(
        self, text: bytes | bytearray, wanted: WantedMembers, *, window_bytes: int = WINDOW_BYTES
    ) -> None:
        self._text = text
        self._window_bytes = window_bytes
        self._wanted = wanted
        self._at = len(BOM_UTF8) if text.startswith(BOM_UTF8) else 0
        # The brackets around the position.
        self._open = bytearray()
        # What is read next, and what after a long string. No bound methods: the cycle would keep the body in
        # memory.
        self._read: Callable[[MemberScan], None] = MemberScan._read_start
        self._then = self._read
        self._is_complete = False
        # The member of the object itself that is being read, if it is looked for.
        self._name: str | None = None
        self._name_start = self._value_start = 0
        self.is_object = False
        self.is_empty = True
        self.start = 0
        self.spans: dict[str, tuple[int, int]] = {}
        self.names: dict[str, int] = {}
        self.repeated: set[str] = set()

    def step(self, seconds: float = PIECE_SECONDS) -> bool:
        """Read on for so long. Return whether there is more to read."""
        clock = time.perf_counter
        due = clock() + seconds
        try:
            while not self._is_complete and clock() < due:
                self._read(self)
        except (_MalformedError, UnicodeDecodeError):
            self.is_object, self._is_complete = False, True
        return not self._is_complete

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Return a match at the position and move behind it.

        Without one, skip spaces, which may be longer than the window. Raises _MalformedError without any.
        """
        match = pattern.match(self._text, self._at, self._at + self._window_bytes)
        if match is not None:
            self._at = match.end()
        elif not self._skip(json.SPACE):
            raise _MalformedError
        return match

    def _skip(self, pattern: re.Pattern[bytes]) -> bool:
        """Move behind what matches; return whether that is any byte."""
        start = self._at
        match = pattern.match(self._text, start, start + self._window_bytes)
        self._at = start if match is None else match.end()
        return self._at > start

    def _read_start(self) -> None:
        if self._match(json.OBJECT_START) is not None:
            self.start = self._at
            self._enter(b"{")
            self._read = MemberScan._read_first_member

    def _enter(self, brackets: bytes) -> None:
        self._open += brackets
        if len(self._open) > _MAX_DEPTH:
            raise _MalformedError

    def _read_first_member(self) -> None:
        if (match := self._match(json.FIRST_MEMBER)) is None:
            return
        if match[1] is not None:
            self._leave(b"}")
            return
        if len(self._open) == 1:
            self.is_empty = False
        self._read = MemberScan._read_members

    def _read_first_item(self) -> None:
        if (match := self._match(json.FIRST_ITEM)) is None:
            return
        if match[1] is not None:
            self._leave(b"]")
        else:
            self._read = MemberScan._read_items

    def _read_items(self) -> None:
        self._match(json.ITEMS)
        self._read = MemberScan._read_value

    def _read_members(self) -> None:
        self._match(self._wanted.others if len(self._open) == 1 else json.MEMBERS)
        self._read = MemberScan._read_name

    def _read_name(self) -> None:
        if (match := self._match(json.NEXT_NAME)) is None:
            return
        is_whole = match[1] is not None
        if len(self._open) == 1:
            self._name = self._wanted.find(match[1]) if is_whole else None
            self._name_start = match.start(1)
        if is_whole:
            self._read = MemberScan._read_colon
        else:
            self._read, self._then = MemberScan._read_string, MemberScan._read_colon

    def _read_colon(self) -> None:
        if self._match(json.COLON) is not None:
            self._read = MemberScan._read_value

    def _read_value(self) -> None:
        start = self._at
        if (match := self._match(json.NEXT_VALUE)) is None:
            return
        kind = match.lastindex or 0
        value_start = match.start(kind)
        if len(self._open) == 1:
            self._value_start = value_start
        if kind == json.OPENINGS_GROUP:
            self._read_openings(match[kind])
        elif kind != json.VALUE_GROUP:
            self._read, self._then = MemberScan._read_string, MemberScan._end_value
        elif not self._may_go_on(match):
            self._end_value()
        elif value_start > start:
            self._at = value_start
        else:
            raise _MalformedError

    def _read_openings(self, text: bytes) -> None:
        self._enter(json.ANY_STRING.sub(b"", text).translate(None, _NO_BRACKET))
        if self._open[-1] == _ARRAY:
            self._read = MemberScan._read_first_item
        elif text == b"{":
            self._read = MemberScan._read_first_member
        # Otherwise the text ends with a member's name, and its value is next.

    def _may_go_on(self, match: re.Match[bytes]) -> bool:
        """True for a number that the window's end may have cut off."""
        end, window_end = match.end(), match.endpos
        near_end = end + _EXPONENT_START >= window_end
        return near_end and window_end < len(self._text) and self._text[end - 1] in _DIGITS

    def _read_string(self) -> None:
        """Read on in a string that is longer than the window."""
        if self._text[self._at : self._at + 1] == b'"':
            self._at += 1
            self._read = self._then
        elif not self._skip(json.STRING_PART):
            raise _MalformedError

    def _end_value(self) -> None:
        if len(self._open) == 1 and (name := self._name) is not None:
            if name in self.spans:
                self.repeated.add(name)
            self.spans[name], self.names[name] = (self._value_start, self._at), self._name_start
        self._read = MemberScan._read_after_value

    def _read_after_value(self) -> None:
        if (match := self._match(json.AFTER_VALUE)) is None:
            return
        if (text := match[1]) is not None:
            brackets = text.translate(None, _NO_BRACKET)
            if len(brackets) > 1 and len(brackets) == len(self._open):
                # The last bracket is the object's own, and is read in a step of its own.
                brackets = brackets[:-1]
                self._at = match.start(1) + len(text[:-1].rstrip(json.SPACE_CHARACTERS))
            self._leave(brackets)
        else:
            self._read = MemberScan._read_members if self._open[-1] == _OBJECT else MemberScan._read_items

    def _leave(self, brackets: bytes) -> None:
        if not self._open.endswith(brackets.translate(_OPENING_OF)[::-1]):
            raise _MalformedError
        del self._open[-len(brackets) :]
        if self._open:
            self._end_value()
        else:
            self._read = MemberScan._read_end

    def _read_end(self) -> None:
        """Read what follows the object, which may only be spaces."""
        if not self._skip(json.SPACE):
            if self._at < len(self._text):
                raise _MalformedError
            self.is_object = self._is_complete = True
