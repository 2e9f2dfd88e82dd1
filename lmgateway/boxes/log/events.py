"""What LM Studio's own log tells, as events of /debug/stream, and how they look in its text."""

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
    """One line of the log. `timestamp` is its record's stamp as LM Studio wrote it: local time, no zone."""

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
    """Its fields are whatever numbers were found; `sampling_params` makes them."""

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
    """What LM Studio didn't write is left out."""

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
    """Return the event with these numbers, by LM Studio's names, newer ones among them."""
    values: dict[str, Any] = {f"number_{index}": number for index, number in enumerate(numbers.values())}
    return _sampling_params_of(tuple(numbers))(**values)


# LM Studio writes the same names each time, so that there is one such type, or a few after an update.
@lru_cache(maxsize=16)
def _sampling_params_of(names: tuple[str, ...]) -> type[SamplingParams]:
    # Numbered attributes, because a parameter may be called what a struct already has, `name` for one.
    fields = [(f"number_{index}", float, field(name=name)) for index, name in enumerate(names)]
    kind = msgspec.defstruct("SamplingParams", fields, bases=(SamplingParams,), frozen=True, kw_only=True)
    return cast(type[SamplingParams], kind)


def number_pairs(text: str) -> Iterator[tuple[str, float]]:
    """Find every `name = number`."""
    for name, digits in _PAIR.findall(text):
        # Past this many digits it is no parameter, and no number that JSON's readers could take.
        if len(digits) <= 18 and name != "timestamp":
            number = int(digits) if digits.lstrip("+-").isdigit() else float(digits)
            if math.isfinite(number):
                yield name, number


def line_event(told: str) -> Event | None:
    """Return what this line tells by itself.

    It is looked for where the line begins: what people write to a model stands further in, quoted.
    """
    if cache := _CACHE.match(told):
        return _cache_stats(cache, told)
    if progress := _PROGRESS.match(told):
        return PromptProgress(progress=float(progress[1]), message=told)
    if told.startswith("Running chat completion on conversation"):
        return ChatStart(message=told)
    if told.startswith("BeginProcessingPrompt"):
        return ProcessingStart(message=told)
    return None


def _cache_stats(found: re.Match[str], message: str) -> CacheStats:
    reused, total = int(found[1]), int(found[2])
    try:
        percentage = float(found[3])
    except ValueError:
        percentage = math.nan
    if not math.isfinite(percentage):
        # 0 of 0 is -nan% in C.
        percentage = 100 * reused / total if total else 0.0
    return CacheStats(
        reused=reused,
        total=total,
        percentage=percentage,
        prefix=int(found[4]),
        non_prefix=int(found[5]),
        message=message,
    )
