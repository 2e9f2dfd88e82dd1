"""JSON text with lone surrogates.

JavaScript that cuts a string in the middle of an emoji sends `"\\ud83d"`. RFC 8259 section 8.2 and LM Studio
allow it; msgspec rejects it. Each such escape is replaced by another of the same length while the body is
parsed, and restored afterwards.
"""

from __future__ import annotations

import re

# A lone surrogate is a high one without a low one after it, or a low one without a high one before it. The
# first alternatives consume escaped backslashes and complete pairs. The common first backslash precedes the
# group so that `re` searches for it as a literal: forty times as fast in a body without backslashes.
_ALONE = re.compile(
    rb"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<alone>u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Unicode noncharacters, which no client has a use for: as escapes, and in UTF-8, which msgspec writes for a
# key that it has decoded.
_MASKS = tuple((b"\\u%x" % number, chr(number).encode()) for number in range(0xFDD0, 0xFDF0))
_DECODED_MASK = re.compile("[\ufdd0-\ufdef]")


def without_masks(text: str) -> str:
    """Return a text from a masked body with U+FFFD for each lone surrogate."""
    return _DECODED_MASK.sub("\ufffd", text)


class Masked:
    """A body whose lone surrogates are replaced. `text` is as long as the body."""

    def __init__(self, body: bytes) -> None:
        self._masked: list[bytes] = []
        self.text = body
        self._mask, self._as_text = _MASKS[0]
        # The substitution calls a function for every escaped backslash: a path, a regular expression.
        if _SURROGATE.search(body) is None:
            return
        lowered = body.lower()
        unused = (spelled for spelled in _MASKS if not any(mask in lowered for mask in spelled))
        self._mask, self._as_text = next(unused, _MASKS[0])
        self.text = _ALONE.sub(self._hide, body)

    def _hide(self, match: re.Match[bytes]) -> bytes:
        if match["alone"] is None:
            return match[0]
        self._masked.append(match[0])
        return self._mask

    def __bool__(self) -> bool:
        return bool(self._masked)

    def restore(self, text: bytes) -> bytes:
        """Return `text`, made of pieces of the masked text in their order, with the surrogates restored."""
        masked = iter(self._masked)
        masks = b"|".join(map(re.escape, (self._mask, self._as_text)))
        return re.sub(masks, lambda _: next(masked), text)
