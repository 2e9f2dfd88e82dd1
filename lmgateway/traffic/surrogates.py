"""JSON text with half a character in it.

JavaScript that cuts a text in the middle of an emoji sends `"\\ud83d"`. RFC 8259 section 8.2 lets it, LM
Studio takes it, msgspec doesn't. Such escapes are masked with another of the same length while the body is
read, and put back afterwards.
"""

from __future__ import annotations

import re

# Alone are a high one without a low one behind it, and a low one without a high one before it. The first
# alternatives eat what is none of these: an escaped backslash, a whole pair. What all begin with stands
# before them, since `re` leaps from one backslash to the next then: forty times as fast where there are none.
_ALONE = re.compile(
    rb"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<alone>u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
# Code points that are no characters: who sends one of them means nothing by it. As escapes, and as a key that
# was read and is written again spells them.
_MASKS = tuple((b"\\u%x" % number, chr(number).encode()) for number in range(0xFDD0, 0xFDF0))


class Masked:
    """A body without lone surrogates, and what they were. `text` is as long as the body."""

    def __init__(self, body: bytes) -> None:
        lowered = body.lower()
        unused = (spelled for spelled in _MASKS if not any(mask in lowered for mask in spelled))
        self._mask, self._as_text = next(unused, _MASKS[0])
        self._found: list[bytes] = []
        self.text = _ALONE.sub(self._hide, body)

    def _hide(self, found: re.Match[bytes]) -> bytes:
        if found["alone"] is None:
            return found[0]
        self._found.append(found[0])
        return self._mask

    def __bool__(self) -> bool:
        return bool(self._found)

    def restore(self, text: bytes) -> bytes:
        """Return a text made of pieces of the masked one, in their order, with what they were."""
        found = iter(self._found)
        masks = b"|".join(map(re.escape, (self._mask, self._as_text)))
        return re.sub(masks, lambda _: next(found), text)
