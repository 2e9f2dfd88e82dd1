"""Reads the token counts and the model's name in a JSON payload, and removes the usage from a chunk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from ..observe.tokens import TokenCount
from ..text import KEY_CHARACTERS, NAME_CHARACTERS
from ..untrusted import (
    MAX_COUNT,
    MAX_PER_SECOND,
    MAX_SECONDS,
    count,
    decoded,
    parse_number,
    per_second,
    seconds,
    text,
)
from .response_ids import announce_response
from .surrogates import Masked, without_masks

T = TypeVar("T")
_Repairs = Mapping[str, Callable[[Raw], object]]

_EMPTY_LIST = re.compile(rb"\[\s*\]")
_USAGE_NAME = re.compile(rb'"usage"\s*:\s*')
# So many members of that name are looked at. Those that don't count are in nested objects.
_MAX_CUTS = 8
# Members of every chunk. A chunk with usage and no other members was sent only to report the usage.
_COMMON = frozenset({"id", "object", "created", "model", "system_fingerprint", "choices", "usage"})

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)] | None
PerSecond = Annotated[float, Meta(ge=0, le=MAX_PER_SECOND)] | None


class _Details(Struct):
    """What OpenAI's APIs report of the prompt, or of the completion."""

    cached_tokens: Count = None
    reasoning_tokens: Count = None


class _Usage(Struct):
    """Token counts under OpenAI's names and under Anthropic's, which /v1/responses shares."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Stats(Struct):
    """LM Studio's own statistics: of /api/v0, and (with token counts) of /api/v1/chat."""

    tokens_per_second: PerSecond = None
    time_to_first_token: Seconds = None
    time_to_first_token_seconds: Seconds = None
    input_tokens: Count = None
    total_output_tokens: Count = None
    reasoning_output_tokens: Count = None


class _Nested(Struct):
    usage: _Usage | None = None
    stats: _Stats | None = None
    model: str | None = None
    model_instance_id: str | None = None


class _Payload(Struct):
    """A body or an event's data. Events of /v1/messages, /v1/responses and /api/v1/chat nest the figures.

    /api/v1/chat names the model in `model_instance_id`, all others in `model`.
    """

    usage: _Usage | None = None
    stats: _Stats | None = None
    model: str | None = None
    model_instance_id: str | None = None
    choices: Raw = Raw()
    message: _Nested | None = None
    response: _Nested | None = None
    result: _Nested | None = None


def read(data: bytes, figures: TokenCount) -> bool:
    """Add a payload's figures to the count; return whether it is the extra chunk that reports usage.

    Figures that aren't plausible are unknown. The first model that is named counts. Never raises.
    """
    payload = decoded(data, _Payload) or _repair(data, _Payload) or _repair(Masked(data).text, _Payload)
    if payload is None:
        return False
    for part in (payload, payload.response, payload.result):
        if part is not None:
            _take(figures, part.usage, part.stats)
    if payload.message is not None and (usage := payload.message.usage) is not None:
        # Anthropic's first event: the prompt's tokens. Its output count is only a placeholder.
        _add(figures, usage.input_tokens, None, usage.cache_read_input_tokens, None)
    if figures.model is None:
        figures.model = _model_in(payload)
        if figures.model is None:
            parts = (payload.response, payload.message, payload.result)
            figures.model = next(filter(None, map(_model_in, parts)), None)
    announce_response(data, figures)
    return payload.usage is not None and _EMPTY_LIST.match(payload.choices) is not None


def _repair(data: bytes | Raw, kind: type[T]) -> T | None:
    """Decode each member on its own, so that one of an unexpected form or size spoils no other."""
    members = decoded(data, _UNREAD[kind])
    if members is None:
        return None
    return kind(**{name: repair(getattr(members, name)) for name, repair in _REPAIRS[kind].items()})


def _count(spelled: Raw) -> int | None:
    return count(parse_number(bytes(spelled)))


def _seconds(spelled: Raw) -> float | None:
    return seconds(parse_number(bytes(spelled)))


def _per_second(spelled: Raw) -> float | None:
    return per_second(parse_number(bytes(spelled)))


def _name(spelled: Raw) -> str | None:
    name = decoded(spelled, str)
    return None if name is None else without_masks(name)


_DETAILS = tuple(name for name in _Usage.__struct_fields__ if name.endswith("_details"))
_PARTS: _Repairs = {
    "usage": partial(_repair, kind=_Usage),
    "stats": partial(_repair, kind=_Stats),
    **dict.fromkeys(("model", "model_instance_id"), _name),
}
_NESTED: _Repairs = dict.fromkeys(("message", "response", "result"), partial(_repair, kind=_Nested))
_REPAIRS: Mapping[type, _Repairs] = {
    _Details: dict.fromkeys(_Details.__struct_fields__, _count),
    _Usage: {
        **dict.fromkeys(_Usage.__struct_fields__, _count),
        **dict.fromkeys(_DETAILS, partial(_repair, kind=_Details)),
    },
    _Stats: {
        **dict.fromkeys(("input_tokens", "total_output_tokens", "reasoning_output_tokens"), _count),
        **dict.fromkeys(("time_to_first_token", "time_to_first_token_seconds"), _seconds),
        "tokens_per_second": _per_second,
    },
    _Nested: _PARTS,
    _Payload: {**_PARTS, **_NESTED, "choices": Raw.copy},
}
# The same structs with members that aren't decoded.
_UNREAD = {
    kind: msgspec.defstruct(kind.__name__, [(name, Raw, Raw(b"null")) for name in repairs])
    for kind, repairs in _REPAIRS.items()
}


def _model_in(part: _Payload | _Nested | None) -> str | None:
    name = None if part is None else part.model or part.model_instance_id
    return None if name is None else text(name, NAME_CHARACTERS + KEY_CHARACTERS)


def _take(figures: TokenCount, usage: _Usage | None, stats: _Stats | None) -> None:
    if usage is not None:
        # One of the two APIs' names is used.
        prompt = usage.prompt_tokens_details or usage.input_tokens_details
        completion = usage.completion_tokens_details or usage.output_tokens_details
        _add(
            figures,
            usage.input_tokens if usage.prompt_tokens is None else usage.prompt_tokens,
            usage.output_tokens if usage.completion_tokens is None else usage.completion_tokens,
            usage.cache_read_input_tokens if prompt is None else prompt.cached_tokens,
            None if completion is None else completion.reasoning_tokens,
        )
    if stats is not None:
        _add(figures, stats.input_tokens, stats.total_output_tokens, None, stats.reasoning_output_tokens)
        figures.tokens_per_second = stats.tokens_per_second
        figures.time_to_first_token = stats.time_to_first_token or stats.time_to_first_token_seconds


def _add(
    figures: TokenCount, prompt: int | None, completion: int | None, cached: int | None, reasoning: int | None
) -> None:
    """Replace the counts that are known."""
    # No prompt is empty: LM Studio reports 0 for embeddings, which it doesn't count.
    if prompt:
        figures.prompt_tokens = prompt
    if completion is not None:
        figures.completion_tokens = completion
    if cached is not None:
        figures.cached_tokens = cached
    if reasoning is not None:
        figures.reasoning_tokens = reasoning


def without_usage(event: bytes, data: bytes) -> bytes:
    """Return this event without the usage in its data; b"" if nothing else is in it.

    llama-server and LM Studio put `timings` or `stats` into the same chunk, which stay byte for byte. A chunk
    that can't be decoded, because of a lone surrogate, is returned unchanged.
    """
    fields = decoded(data, dict[str, Raw])
    if fields is None:
        return event
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
    # Patterns that begin with white space, or hold the usage itself, take long for a long chunk.
    names = (name for name in _USAGE_NAME.finditer(data) if data.startswith(usage, name.end()))
    for name in islice(names, _MAX_CUTS):
        before, after = data[: name.start()], data[name.end() + len(usage) :]
        if before.rstrip().endswith(b","):
            yield before.rstrip()[:-1].rstrip() + after
        elif after.lstrip().startswith(b","):
            yield before + after.lstrip()[1:].lstrip()


def _is(data: bytes, fields: Mapping[str, Raw]) -> bool:
    return decoded(data, dict[str, Raw]) == fields
