"""LM Studio's log as it is read: bytes to lines, lines to records, records to events.

An event that one line is enough for is published when the line is complete. Sampling parameters and token
counts are spread over several lines: their event is published when all lines were read, or a line shows that
no more follow. If neither happens, a quiet period ends the record, because LM Studio writes a record in one
go. Should more of it follow even so, the event is published again, with the earlier values and the new ones.

A record that quotes a request or a response makes no events of its lines: a prompt may imitate a log line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...observe.events import Event
from ...untrusted import count
from .events import DebugLog, TokenInfo, line_event, number_pairs, sampling_params, token_counts
from .llama_server import LlamaServer

LINE_BYTES = 16 * 1024
"""A longer line is cut off: a record may hold a whole picture, in base64."""
SAMPLING_PARAMS = 100
"""At most so many parameters of one record are read."""

_STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\]\[([A-Za-z]+)\](.*)", re.ASCII | re.DOTALL)
# The source: [LM STUDIO SERVER], a model's identifier, or both. The pattern can't backtrack for long.
_SOURCES = re.compile(r"\s*(?:\[[^\]]*\]\s*)*")
_PAIR_BEGINS = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]* = ")
# The headings of records that quote what people and models wrote, and the last line of what they quote.
_QUOTING = re.compile(r"Received request\b|Generated (?:prediction|packet)\b")
_ENDS = {"{": "}", "[": "]"}
_COUNT = r"([0-9]{1,18})(?![0-9])"
_TOTAL = re.compile(rf"Total prompt tokens: {_COUNT}")
_TO_DECODE = re.compile(rf"Prompt tokens to decode: {_COUNT}")
_SAMPLING = "Sampling params:"
_GENERATE = "Generate:"
_GENERATE_NAMES = frozenset({"n_ctx", "n_batch", "n_predict", "n_keep"})


def is_stamped(line: str) -> bool:
    """True if a record begins with this line."""
    return _STAMP.match(line) is not None


class LogReader:
    """Turns the log's bytes, cut anywhere, into events. Of a longer line, `line_bytes` are read."""

    def __init__(self, *, line_bytes: int = LINE_BYTES) -> None:
        self._line_bytes = line_bytes
        self._records = _Records()
        self._partial = b""

    @property
    def waiting(self) -> bool:
        """True if `settle` would return events."""
        return self._records.waiting

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete."""
        # Lines are split in bytes, before decoding: no UTF-8 character contains a line feed, and Unicode's
        # other line separators are part of a message.
        first, *others = data.split(b"\n")
        lines = [self._partial + first, *others]
        # Two bytes more than a line may have, so that `_text` sees whether it was cut off.
        self._partial = lines.pop()[: self._line_bytes + 2]
        return [event for line in lines for event in self._records.line(self._text(line))]

    def settle(self) -> list[Event]:
        """Return the events of incomplete records. To be called after a quiet period."""
        return list(self._records.settle())

    def end_file(self) -> list[Event]:
        """Return the events of a last line without a line feed: the file or the transmission has ended."""
        line, self._partial = self._partial, b""
        events = list(self._records.line(self._text(line))) if line else []
        self._records.end_quotation()
        return events

    def _text(self, line: bytes) -> str:
        line = line.removesuffix(b"\r")
        if len(line) > self._line_bytes:
            # The cut may be inside a character, which is then left out.
            return line[: self._line_bytes].decode("utf-8", "ignore") + "…"
        return line.decode("utf-8", "replace").removeprefix("\ufeff")


class _Records:
    """The record that is being read, and the values read of it so far."""

    def __init__(self) -> None:
        # Empty until the first stamp.
        self._stamp: dict[str, str] = {}
        self._level = ""
        self._quotation = _Quotation()
        self._llama_server = LlamaServer()
        # None while no parameters are being read. `_…_reported` counts the values already published.
        self._sampling: dict[str, float] | None = None
        self._sampling_reported = 0
        self._tokens: dict[str, Any] = {}
        self._tokens_reported = 0

    @property
    def waiting(self) -> bool:
        return (
            len(self._sampling or ()) > self._sampling_reported or len(self._tokens) > self._tokens_reported
        )

    def line(self, raw: str) -> Iterator[Event]:
        """Yield the event of the line itself, and the events that it completes."""
        if self._quotation.contains(raw):
            yield DebugLog(level=self._level, message=raw.strip(), raw=raw, **self._stamp)
            return
        stamped = _STAMP.match(raw)
        text = stamped[3] if stamped else raw
        content = text[_SOURCES.match(text).end() :].strip()  # type: ignore[union-attr] # it matches an empty text, too
        if self._sampling is not None and not self._continues_sampling(content, stamped=stamped is not None):
            yield from self._settle_sampling()
            self._sampling = None
        if stamped:
            self._stamp, self._level = {"timestamp": stamped[1]}, stamped[2].upper()
            self._quotation.begin(content)
        yield DebugLog(level=self._level, message=text.strip(), raw=raw, **self._stamp)
        yield from self._parse(content)

    def end_quotation(self) -> None:
        self._quotation = _Quotation()

    def settle(self) -> Iterator[Event]:
        yield from self._settle_sampling()
        yield from self._settle_tokens()

    def _continues_sampling(self, content: str, *, stamped: bool) -> bool:
        # Some versions write the heading as a record of its own, and stamp the parameters after it again.
        return _PAIR_BEGINS.match(content) is not None and not (stamped and self._sampling)

    def _parse(self, content: str) -> Iterator[Event]:
        if self._sampling is not None:
            if len(self._sampling) < SAMPLING_PARAMS:
                self._sampling.update(number_pairs(content))
        elif content.startswith(_SAMPLING):
            self._sampling, self._sampling_reported = dict(number_pairs(content.removeprefix(_SAMPLING))), 0
        elif content.startswith(_GENERATE):
            # First report the previous generation, if LM Studio never logged its totals.
            yield from self._settle_tokens()
            pairs = number_pairs(content.removeprefix(_GENERATE))
            self._tokens = token_counts(pairs, _GENERATE_NAMES)
            self._tokens_reported = 0
        elif total := _TOTAL.match(content):
            self._set_token("total_prompt_tokens", total[1])
        elif to_decode := _TO_DECODE.match(content):
            self._set_token("prompt_tokens_to_decode", to_decode[1])
            yield from self._settle_tokens()
            self._tokens, self._tokens_reported = {}, 0
        elif event := line_event(content):
            yield event
        else:
            yield from self._llama_server.parse(content)

    def _set_token(self, name: str, digits: str) -> None:
        if (tokens := count(int(digits))) is not None:
            self._tokens[name] = tokens

    def _settle_sampling(self) -> Iterator[Event]:
        if self._sampling is not None and len(self._sampling) > self._sampling_reported:
            self._sampling_reported = len(self._sampling)
            yield sampling_params(self._sampling)

    def _settle_tokens(self) -> Iterator[Event]:
        if len(self._tokens) > self._tokens_reported:
            self._tokens_reported = len(self._tokens)
            yield TokenInfo(**self._tokens)


class _Quotation:
    """Indented JSON of which the log has read the beginning. At first there is none."""

    def __init__(self) -> None:
        self._end = ""

    def begin(self, heading: str) -> None:
        """Open a quotation if this is the first line of a record that quotes."""
        if _QUOTING.match(heading):
            self._end = _ENDS.get(heading[-1], "")

    def contains(self, raw: str) -> bool:
        """True if this line is quoted. Inside a JSON text no other line is like its last one."""
        if not self._end:
            return False
        if raw == self._end:
            self._end = ""
        return True
