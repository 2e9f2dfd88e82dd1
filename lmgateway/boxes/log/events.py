"""The events of /debug/stream that are parsed from LM Studio's server log, and their patterns in its text."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType, field

from ...observe.events import Event
from ...untrusted import MAX_COUNT, count, number, parse_number, whole

_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_PAIR = re.compile(rf"([A-Za-z_][A-Za-z0-9_.-]{{0,63}}) = ({_NUMBER})(?![^\s,])")
_COUNT = r"([0-9]{1,18})(?![0-9])"
_PROGRESS = re.compile(r"Prompt processing progress: ([0-9]{1,3}(?:\.[0-9]{1,18})?)%")
# The starts of a request to /v1/chat/completions, /v1/messages and /v1/responses.
_CHAT_STARTS = (
    "Running chat completion on conversation",
    "Running Anthropic messages API on conversation",
    "Generating synchronous v1/responses response",
)
_RESTORED = re.compile(rf"Prompt cache restore: cached_tokens={_COUNT} uncached_tokens={_COUNT}")
_CACHE = re.compile(
    rf"Cache reuse summary: {_COUNT}/{_COUNT} of prompt \(([^%]{{1,30}})%\), "
    rf"{_COUNT} prefix, {_COUNT} non-prefix"
)

# A progress is a quotient, which rounding can bring above 100 %.
MAX_PERCENT = 101


class LogEvent(Event, frozen=True, kw_only=True):
    """The base of these events."""

    holds_prompts = True


class DebugLog(LogEvent, frozen=True, kw_only=True):
    """One line of the log. `timestamp` is the record's own, as LM Studio wrote it: local time, no zone."""

    name = "debug_log"
    level: str
    message: str
    raw: str


class ChatStart(LogEvent, frozen=True, kw_only=True):
    name = "lmstudio_chat_start"
    message: str


class ProcessingStart(LogEvent, frozen=True, kw_only=True):
    name = "lmstudio_processing_start"
    message: str


class SamplingParams(LogEvent, frozen=True, kw_only=True):
    """The sampling parameters of a request. Its fields depend on the log; `sampling_params` defines them."""

    name = "lmstudio_sampling_params"


class PromptProgress(LogEvent, frozen=True, kw_only=True):
    """`progress` is in percent."""

    name = "lmstudio_prompt_progress"
    progress: float
    message: str


class CacheStats(LogEvent, frozen=True, kw_only=True):
    """Of a prompt's `total` tokens, `reused` were in the cache: `prefix` at its beginning, or elsewhere.

    The engines of LM Studio 0.4 log one number of cached tokens. It is the prefix; `non_prefix` is 0.
    """

    name = "lmstudio_cache_stats"
    reused: int
    total: int
    percentage: float
    prefix: int
    non_prefix: int
    message: str


class TokenInfo(LogEvent, frozen=True, kw_only=True):
    """A number that LM Studio didn't log is left out."""

    name = "lmstudio_token_info"
    n_ctx: int | UnsetType = field(default=UNSET, name="n_ctx")
    n_batch: int | UnsetType = field(default=UNSET, name="n_batch")
    n_predict: int | UnsetType = field(default=UNSET, name="n_predict")
    n_keep: int | UnsetType = field(default=UNSET, name="n_keep")
    total_prompt_tokens: int | UnsetType = UNSET
    prompt_tokens_to_decode: int | UnsetType = UNSET


class MonthTransition(LogEvent, frozen=True, kw_only=True):
    name = "lmstudio_month_transition"
    old_directory: str
    new_directory: str
    new_log_file: str


def sampling_params(numbers: Mapping[str, float]) -> SamplingParams:
    """Return the event with these numbers under LM Studio's own names, which differ between versions."""
    values: dict[str, Any] = {f"number_{index}": number for index, number in enumerate(numbers.values())}
    return _sampling_params_of(tuple(numbers))(**values)


# One version of LM Studio logs the same names each time, so one type is cached, a few after an update.
@lru_cache(maxsize=16)
def _sampling_params_of(names: tuple[str, ...]) -> type[SamplingParams]:
    # Numbered attributes, because a parameter's name may clash with a struct's attribute, such as `name`.
    fields = [(f"number_{index}", float, field(name=name)) for index, name in enumerate(names)]
    kind = msgspec.defstruct("SamplingParams", fields, bases=(SamplingParams,), frozen=True, kw_only=True)
    return cast(type[SamplingParams], kind)


def number_pairs(text: str) -> Iterator[tuple[str, float]]:
    """Yield every `name = number` pair in the text."""
    for name, digits in _PAIR.findall(text):
        value = parse_number(digits.encode())
        # Many JSON parsers would lose the last digits of a larger whole number.
        if isinstance(value, int):
            value = whole(value)
        if value is not None and name != "timestamp":
            yield name, value


def token_counts(numbers: Iterable[tuple[str, float]], names: Container[str]) -> dict[str, int]:
    """Return the whole numbers of these names; -1 is LM Studio's for "no limit"."""
    counts = {name: whole(value, least=-1, most=MAX_COUNT) for name, value in numbers if name in names}
    return {name: value for name, value in counts.items() if value is not None}


def line_event(content: str) -> Event | None:
    """Return the event that one line is enough for, if it is such a line.

    Only the line's beginning is matched: a prompt, which may imitate a log line, is quoted further inside.
    """
    if cache := _CACHE.match(content):
        return _cache_stats(cache, content)
    if progress := _PROGRESS.match(content):
        percent = number(parse_number(progress[1].encode()), MAX_PERCENT)
        return None if percent is None else PromptProgress(progress=min(percent, 100.0), message=content)
    if restored := _RESTORED.match(content):  # the engine for MLX models
        cached, uncached = (count(int(digits)) for digits in restored.groups())
        return None if cached is None or uncached is None else cache_stats(cached, cached + uncached, content)
    if content.startswith(_CHAT_STARTS):
        return ChatStart(message=content)
    if content.startswith("BeginProcessingPrompt"):
        return ProcessingStart(message=content)
    return None


def cache_stats(reused: int, total: int, message: str) -> CacheStats:
    """Return the event for an engine that reuses only a prompt's beginning."""
    return CacheStats(
        reused=reused,
        total=total,
        percentage=_percentage(reused, total),
        prefix=reused,
        non_prefix=0,
        message=message,
    )


def _percentage(reused: int, total: int) -> float:
    return min(100 * reused / total, 100.0) if total else 0.0


def _cache_stats(match: re.Match[str], message: str) -> CacheStats | None:
    reused, total, prefix, non_prefix = (count(int(match[group])) for group in (1, 2, 4, 5))
    if reused is None or total is None or prefix is None or non_prefix is None:
        return None
    percentage = number(parse_number(match[3].encode()), 100)
    if percentage is None:
        # 0 of 0 is -nan% in C.
        percentage = _percentage(reused, total)
    return CacheStats(
        reused=reused,
        total=total,
        percentage=percentage,
        prefix=prefix,
        non_prefix=non_prefix,
        message=message,
    )
