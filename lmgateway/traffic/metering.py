"""How many tokens an answer took, read from its bytes as they pass.

Works on what LM Studio's APIs have in common: a `usage` (OpenAI, Anthropic) or `stats` (native) object
somewhere in a JSON body, or in an event of a stream. Memory is bounded whatever passes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from ..observe.tokens import TokenCount
from .headers import EVENT_STREAM

# An event that is longer isn't looked into. The last one of /v1/responses repeats the whole answer.
MAX_EVENT_BYTES = 1024**2
# A longer body is only looked at from its end, where these objects stand.
MAX_BODY_BYTES = 256 * 1024
TAIL_BYTES = 16 * 1024

_BOUNDARY = re.compile(rb"\r?\n\r?\n")
# Something that a person would see: text, a thought, a part of a tool call; never an empty one.
_TOKEN = re.compile(
    rb'content_block_delta|\.delta"|"(?:content|reasoning_content|reasoning|text|arguments)"\s*:\s*"(?!")'
)
_CONTENT = b'"content":"'
_QUOTE = b'"'
_NAMED = b"event:"
# Of /v1/chat/completions and /v1/messages, and of /v1/responses.
_ERROR = re.compile(rb"event: ?(?:error|response\.failed)\r?\n")
_ACCOUNT = re.compile(rb'"(?:usage|stats)"\s*:\s*\{')
_DATA_LINE = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)


class _Usage(Struct):
    """OpenAI's names, and Anthropic's, which /v1/responses shares."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Stats(Struct):
    """LM Studio's own: of /api/v0, and (with counts) of /api/v1/chat."""

    tokens_per_second: float | None = None
    time_to_first_token: float | None = None
    time_to_first_token_seconds: float | None = None
    input_tokens: int | None = None
    total_output_tokens: int | None = None


class _Nested(Struct):
    usage: _Usage | None = None
    stats: _Stats | None = None


class _Payload(Struct):
    """A body, or an event's data; Anthropic's, OpenAI's newer and LM Studio's own events nest what counts."""

    usage: _Usage | None = None
    stats: _Stats | None = None
    choices: list[Raw] | None = None
    message: _Nested | None = None
    response: _Nested | None = None
    result: _Nested | None = None


def read(data: bytes, count: TokenCount) -> bool:
    """Take a payload into the count; return whether it is the extra chunk that only tells usage."""
    try:
        payload = msgspec.json.decode(data, type=_Payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    for part in (payload, payload.response, payload.result):
        if part is not None:
            _take(count, part.usage, part.stats)
    if payload.message is not None and payload.message.usage is not None:
        # Anthropic's first event: the prompt's tokens, and that there are none of the answer yet.
        _add(count, payload.message.usage.input_tokens, None)
    return payload.choices == [] and payload.usage is not None


def _take(count: TokenCount, usage: _Usage | None, stats: _Stats | None) -> None:
    if usage is not None:
        _add(count, usage.prompt_tokens, usage.completion_tokens)
        _add(count, usage.input_tokens, usage.output_tokens)
    if stats is not None:
        _add(count, stats.input_tokens, stats.total_output_tokens)
        count.tokens_per_second = stats.tokens_per_second
        count.time_to_first_token = stats.time_to_first_token or stats.time_to_first_token_seconds


def _add(count: TokenCount, prompt: int | None, completion: int | None) -> None:
    count.prompt_tokens = count.prompt_tokens if prompt is None else prompt
    count.completion_tokens = count.completion_tokens if completion is None else completion


class Meter(Protocol):
    """Stands where an answer passes. `feed` returns what goes on to the client, `finish` what was held."""

    count: TokenCount

    def feed(self, chunk: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class StreamMeter:
    """Reads Server-Sent Events (HTML standard, section 9.2.6), in whatever pieces they come.

    With `strips`, the chunk that only tells usage is taken out: it was asked for by the gateway and not by
    the client. For that an event that isn't complete is held back, which no client could use yet anyway.
    """

    def __init__(self, *, strips: bool) -> None:
        self.count = TokenCount()
        self._strips = strips
        self._rest = b""
        # The end of what has passed of an event that is too long to be looked into.
        self._long_tail: bytes | None = None

    def feed(self, chunk: bytes) -> bytes:
        if not self._rest and self._long_tail is None and _is_one_event(chunk):
            return b"" if self._see(chunk) else chunk
        unread = self._skip_long(chunk)
        data = self._rest + chunk[unread:]
        passed, end = [chunk[:unread]], 0
        for event in _events(data):
            end += len(event)
            if not self._see(event):
                passed.append(event)
        self._rest = data[end:]
        if len(self._rest) > MAX_EVENT_BYTES:
            passed.append(self._rest)
            self._long_tail, self._rest = self._rest[-3:], b""
        return b"".join(passed) if self._strips else chunk

    def _skip_long(self, chunk: bytes) -> int:
        """Return how much of the chunk still belongs to an event that is too long."""
        if self._long_tail is None:
            return 0
        joined = self._long_tail + chunk
        boundary = _BOUNDARY.search(joined)
        if boundary is None:
            self._long_tail = joined[-3:]
            return len(chunk)
        skipped = boundary.end() - len(self._long_tail)
        self._long_tail = None
        return skipped

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        # A last event without its empty line still counts; it is broken, so it is passed on.
        self._see(rest)
        return rest if self._strips else b""

    def _see(self, event: bytes) -> bool:
        """Count an event; return whether it is to be taken out."""
        if (b'"usage"' in event or b'"stats"' in event) and _ACCOUNT.search(event) is not None:
            is_extra = read(b"\n".join(_DATA_LINE.findall(event)), self.count)
            if is_extra:
                return self._strips
        if event.startswith(_NAMED) and _ERROR.match(event) is not None:
            self.count.broke = True
        elif _is_token(event):
            self.count.seen += 1
        return False


def _is_one_event(chunk: bytes) -> bool:
    """Tell whether this is exactly one event, as LM Studio sends them."""
    return chunk.endswith(b"\n\n") and chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk


def _is_token(event: bytes) -> bool:
    # The usual spelling of the usual event is looked for without a regular expression.
    start = event.find(_CONTENT)
    if start >= 0 and not event.startswith(_QUOTE, start + len(_CONTENT)):
        return True
    return _TOKEN.search(event) is not None


def _events(data: bytes) -> Iterator[bytes]:
    """Yield each complete event, with its empty line."""
    start = 0
    # Not finditer(), which puts a name of its own into CPython's type cache at each call, in another's place.
    while boundary := _BOUNDARY.search(data, start):
        yield data[start : boundary.end()]
        start = boundary.end()


def meter_for(media_type: str, *, hides_usage: bool) -> Meter | None:
    """Return what counts the tokens of a response of this type; None if it reports none."""
    if media_type.startswith(EVENT_STREAM):
        return StreamMeter(strips=hides_usage)
    return BodyMeter() if media_type.startswith("application/json") else None


class BodyMeter:
    """Reads a JSON body; of a long one only its end."""

    def __init__(self) -> None:
        self.count = TokenCount()
        self._kept = bytearray()
        self._is_whole = True

    def feed(self, chunk: bytes) -> bytes:
        self._kept += chunk
        if len(self._kept) > MAX_BODY_BYTES:
            self._is_whole = False
            del self._kept[:-TAIL_BYTES]
        return chunk

    def finish(self) -> bytes:
        read(bytes(self._kept) if self._is_whole else self._objects_in_tail(), self.count)
        return b""

    def _objects_in_tail(self) -> bytes:
        """Return the last usage and stats objects of the tail as a body of their own."""
        tail = self._kept[-TAIL_BYTES:].decode("utf-8", "replace")
        found: dict[str, object] = {}
        for name in ("usage", "stats"):
            start = tail.rfind(f'"{name}"')
            brace = tail.find("{", start)
            if start >= 0 and brace >= 0:
                try:
                    found[name], _ = json.JSONDecoder().raw_decode(tail, brace)
                except ValueError:
                    continue
        return msgspec.json.encode(found)
