"""The bytes of text in a request's body: what remains without images and other base64."""

from __future__ import annotations

import re
import time

# How long a piece takes. Its last step may take as long again.
PIECE_SECONDS = 0.002
# How far one step reads: at most 3 ms of an odd text, and 0.1 ms of a usual one.
WINDOW_BYTES = 128 * 1024
# A shorter text of the same characters may be anything. So many take no time to read, and few tokens.
LEAST_BYTES = 256
_SPACES = rb"[ \t\r\n]{0,8}"
# The member `data` of Anthropic's source and of OpenAI's input_audio, or a data: URL (RFC 2397). In a string,
# a quote has a backslash before it. The literal beginning makes the search four times as fast.
_BEGINNING = re.compile(
    rb'"data(?<!\\"data)(?:"%s:%s"|(:)[^",]{0,200};base64,)(?=[A-Za-z0-9+/\\]{%d})'
    % (_SPACES, _SPACES, LEAST_BYTES)
)
# A match and what it looks ahead at aren't longer.
_OVERLAP_BYTES = 1024
# The members whose data: URL is an image or a file. In any other one it is text that the model reads.
_MEMBER = re.compile(rb'"(?:url|image_url|data_url|file_data)"%s:%s\Z' % (_SPACES, _SPACES))
_MEMBER_BYTES = 64
# A slash may have a backslash before it.
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\\]*+")


class PromptScan:
    """The scan of one body: `step` reads a piece of it. `text_bytes` is what it has counted."""

    def __init__(self, text: bytes | bytearray) -> None:
        self._text = text
        self._at = 0
        self._is_in_base64 = False
        self.text_bytes = len(text)

    def step(self, seconds: float = PIECE_SECONDS) -> bool:
        """Read on for so long. Return whether there is more to read."""
        clock = time.perf_counter
        due = clock() + seconds
        while self._at < len(self._text):
            if self._is_in_base64:
                self._skip_base64()
            else:
                self._find_base64()
            if clock() >= due:
                break
        return self._at < len(self._text)

    def _find_base64(self) -> None:
        start, end = self._at, self._at + WINDOW_BYTES
        beginning = _BEGINNING.search(self._text, start, end)
        if beginning is None:
            self._at = end if end >= len(self._text) else end - _OVERLAP_BYTES
            return
        self._at = beginning.end()
        before = max(beginning.start() - _MEMBER_BYTES, 0)
        is_url = beginning[1] is not None
        self._is_in_base64 = not is_url or bool(_MEMBER.search(self._text, before, beginning.start()))

    def _skip_base64(self) -> None:
        run = _BASE64.match(self._text, self._at, self._at + WINDOW_BYTES)
        length = 0 if run is None else run.end() - self._at
        self.text_bytes -= length
        self._at += length
        self._is_in_base64 = length == WINDOW_BYTES
