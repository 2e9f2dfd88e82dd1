"""The events of /debug/stream that are parsed from LM Studio's server log, and their patterns in its text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType, field

from ...observe.events import Event

_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_PAIR = re.compile(rf"([A-Za-z_][A-Za-z0-9_.-]{{0,63}}) = ({_NUMBER})(?![^\s,])")
_COUNT = r"([0-9]{1,18})(?![0-9])"
_PROGRESS = re.compile(r"Prompt processing progress: ([0-9]{1,3}(?:\.[0-9]{1,18})?)%")
_CACHE = re.compile(
    rf"Cache reuse summary: {_COUNT}/{_COUNT} of prompt \(([^%]{{1,30}})%\), "
    rf"{_COUNT} prefix, {_COUNT} non-prefix"
)


class DebugLog(Event, frozen=True, kw_only=True):
    """One line of the log. `timestamp` is the record's own, as LM Studio wrote it: local time, no zone."""

    name = "debug_log"
    level: str
    message: str
    raw: str


class ChatStart(Event, frozen=True, kw_only=True):
    name = "lmstudio_chat_start"
    message: str


class ProcessingStart(Event, frozen=True, kw_only=True):
    name = "lmstudio_processing_start"
    message: str


class SamplingParams(Event, frozen=True, kw_only=True):
    """The sampling parameters of a request. Its fields depend on the log; `sampling_params` defines them."""

    name = "lmstudio_sampling_params"


class PromptProgress(Event, frozen=True, kw_only=True):
    """`progress` is in percent."""

    name = "lmstudio_prompt_progress"
    progress: float
    message: str


class CacheStats(Event, frozen=True, kw_only=True):
    name = "lmstudio_cache_stats"
    reused: int
    total: int
    percentage: float
    prefix: int
    non_prefix: int
    message: str


class TokenInfo(Event, frozen=True, kw_only=True):
    """A number that LM Studio didn't log is left out."""

    name = "lmstudio_token_info"
    n_ctx: int | UnsetType = field(default=UNSET, name="n_ctx")
    n_batch: int | UnsetType = field(default=UNSET, name="n_batch")
    n_predict: int | UnsetType = field(default=UNSET, name="n_predict")
    n_keep: int | UnsetType = field(default=UNSET, name="n_keep")
    total_prompt_tokens: int | UnsetType = UNSET
    prompt_tokens_to_decode: int | UnsetType = UNSET


class MonthTransition(Event, frozen=True, kw_only=True):
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
        # Longer numbers are no parameters, and many JSON parsers would lose their last digits.
        if len(digits) <= 18 and name != "timestamp":
            number = int(digits) if digits.lstrip("+-").isdigit() else float(digits)
            if math.isfinite(number):
                yield name, number


def line_event(content: str) -> Event | None:
    """Return the event that one line is enough for, if it is such a line.

    Only the line's beginning is matched: a prompt, which may imitate a log line, is quoted further inside.
    """
    if cache := _CACHE.match(content):
        return _cache_stats(cache, content)
    if progress := _PROGRESS.match(content):
        return PromptProgress(progress=float(progress[1]), message=content)
    if content.startswith("Running chat completion on conversation"):
        return ChatStart(message=content)
    if content.startswith("BeginProcessingPrompt"):
        return ProcessingStart(message=content)
    return None


def _cache_stats(match: re.Match[str], message: str) -> CacheStats:
    reused, total = int(match[1]), int(match[2])
    try:
        percentage = float(match[3])
    except ValueError:
        percentage = math.nan
    if not math.isfinite(percentage):
        # 0 of 0 is -nan% in C.
        percentage = 100 * reused / total if total else 0.0
    return CacheStats(
        reused=reused,
        total=total,
        percentage=percentage,
        prefix=int(match[4]),
        non_prefix=int(match[5]),
        message=message,
    )
