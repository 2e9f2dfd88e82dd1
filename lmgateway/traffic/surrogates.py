"""JSON text with lone surrogates.

JavaScript that cuts a string in the middle of an emoji sends `"\\ud83d"`. RFC 8259 section 8.2 and LM Studio
allow it; msgspec rejects it. Each such escape is replaced by another of the same length while the body is
parsed, and restored afterwards.
"""

from __future__ import annotations

import re

import msgspec

# A lone surrogate is a high one without a low one after it, or a low one without a high one before it. The
# first alternatives consume escaped backslashes and complete pairs. The common first backslash precedes the
# group so that `re` searches for it as a literal: forty times as fast in a body without backslashes.
_ALONE = re.compile(
    rb"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<alone>u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Unicode's noncharacters and private characters, which hardly a client has a use for. There are more of them
# than of surrogates.
_MASKS = (*range(0xFDD0, 0xFDF0), *range(0xE000, 0xF900))
_MASK = re.compile(
    # As escapes, and in UTF-8, which msgspec writes for a key that it has decoded.
    rb"\\(?:\\|u(?:[fF][dD][dDeE][0-9a-fA-F]|[eE][0-9a-fA-F]{3}|[fF][0-8][0-9a-fA-F]{2}))"
    rb"|\xee[\x80-\xbf]{2}|\xef(?:[\x80-\xa3][\x80-\xbf]|\xb7[\x90-\xaf])"
)

_DECODED_MASK = re.compile("[\ufdd0-\ufdef\ue000-\uf8ff]")

MASKED_BYTES = 1024**2
# Each of these takes microseconds.
_COUNTED_ESCAPES = (rb"\\", rb"\ud", rb"\uD")
_MAX_ESCAPES = 5_000


def without_masks(text: str) -> str:
    """Return a text from a masked body with U+FFFD for each lone surrogate."""
    return _DECODED_MASK.sub("\ufffd", text)


class Masked:
    """A body whose lone surrogates are replaced, each one by a character that the body doesn't contain.

    `text` is as long as the body.
    """

    def __init__(self, body: bytes) -> None:
        self._masks: dict[bytes, int] = {}
        self._surrogates: dict[int, bytes] = {}
        self.text = body
        # The substitution calls a function for every escaped backslash: a path, a regular expression.
        if _SURROGATE.search(body) is None:
            return
        used = set(map(_code, _MASK.findall(body)))
        self._unused = (code for code in _MASKS if code not in used)
        self.text = _ALONE.sub(self._hide, body)

    def _hide(self, match: re.Match[bytes]) -> bytes:
        if match["alone"] is None:
            return match[0]
        mask = self._masks.get(match[0])
        if mask is None:
            mask = self._masks[match[0]] = next(self._unused, _MASKS[0])
            self._surrogates[mask] = match[0]
        return b"\\u%x" % mask

    def __bool__(self) -> bool:
        return bool(self._masks)

    def restore(self, text: bytes | msgspec.Raw) -> bytes:
        """Return `text`, made of pieces of the masked text, with the surrogates restored."""
        return _MASK.sub(lambda match: self._surrogates.get(_code(match[0]), match[0]), text)


def is_costly(body: bytes | bytearray) -> bool:
    """True if masking the body would hold up other requests."""
    return len(body) > MASKED_BYTES or sum(map(body.count, _COUNTED_ESCAPES)) > _MAX_ESCAPES


def masked_text(body: bytes | bytearray) -> bytes | bytearray:
    """Return the body, with lone surrogates masked if there are any and that isn't costly."""
    if b"\\" not in body or is_costly(body) or _SURROGATE.search(body) is None:
        return body
    return Masked(bytes(body)).text


def _code(spelled: bytes) -> int:
    """Return the code point of a character as it is spelled in a JSON string."""
    return ord(msgspec.json.decode(b'"%s"' % spelled, type=str))
