"""Reads the token counts in a JSON payload, and removes the usage from a chunk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from ..observe.tokens import TokenCount

# Members of every chunk. A chunk with usage and no other members was sent only to report the usage.
_COMMON = frozenset({"id", "object", "created", "model", "system_fingerprint", "choices", "usage"})


class _Usage(Struct):
    """Token counts under OpenAI's names and under Anthropic's, which /v1/responses shares."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Stats(Struct):
    """LM Studio's own statistics: of /api/v0, and (with token counts) of /api/v1/chat."""

    tokens_per_second: float | None = None
    time_to_first_token: float | None = None
    time_to_first_token_seconds: float | None = None
    input_tokens: int | None = None
    total_output_tokens: int | None = None


class _Nested(Struct):
    usage: _Usage | None = None
    stats: _Stats | None = None


class _Payload(Struct):
    """A body or an event's data. Events of /v1/messages, /v1/responses and /api/v1/chat nest the counts."""

    usage: _Usage | None = None
    stats: _Stats | None = None
    choices: list[Raw] | None = None
    message: _Nested | None = None
    response: _Nested | None = None
    result: _Nested | None = None


def read(data: bytes, count: TokenCount) -> bool:
    """Add a payload's figures to the count; return whether it is the extra chunk that reports usage."""
    try:
        payload = msgspec.json.decode(data, type=_Payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    for part in (payload, payload.response, payload.result):
        if part is not None:
            _take(count, part.usage, part.stats)
    if payload.message is not None and payload.message.usage is not None:
        # Anthropic's first event: the prompt's tokens. Its output count is only a placeholder.
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


def without_usage(event: bytes, data: bytes) -> bytes:
    """Return this event without the usage in its data; b"" if nothing else is in it.

    llama-server and LM Studio put `timings` or `stats` into the same chunk, which stay byte for byte.
    """
    fields = msgspec.json.decode(data, type=dict[str, Raw])
    if fields.keys() <= _COMMON:
        return b""
    usage = fields.pop("usage")
    for cut in _cuts(data, bytes(usage)):
        if data in event and _is(cut, fields):
            return event.replace(data, cut, 1)
    # An unusual spelling: an escape in the name, or data in several lines.
    return b"data: %s\n\n" % msgspec.json.encode(fields)


def _cuts(data: bytes, usage: bytes) -> Iterator[bytes]:
    """Yield the data without each member that looks like the usage; one may belong to a nested object."""
    member = rb'"usage"\s*:\s*' + re.escape(usage)
    for match in re.finditer(rb"\s*,\s*%s|%s\s*,\s*" % (member, member), data):
        yield data[: match.start()] + data[match.end() :]


def _is(data: bytes, fields: Mapping[str, Raw]) -> bool:
    try:
        return msgspec.json.decode(data, type=dict[str, Raw]) == fields
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
