"""The kinds of events of /debug/stream, and which of them a reader gets."""

from __future__ import annotations

from collections.abc import Iterable

from ..access.callers import Caller
from ..boxes.log import events as log_events
from ..errors import Mistake, ValidationFailed
from ..observe import events
from ..observe.events import Event
from .validation import MAX_MISTAKES, suggestion


class Connected(Event, frozen=True, kw_only=True):
    """The first event of every stream."""

    name = "connected"
    message: str


class Lagged(Event, frozen=True, kw_only=True):
    """The client reads too slowly, and lost `missed` events."""

    name = "lagged"
    missed: int


EVENT_KINDS: tuple[type[Event], ...] = (
    Connected,
    Lagged,
    events.ModelLoadStart,
    events.ModelLoadProgress,
    events.ModelLoadComplete,
    events.ModelUnloadStart,
    events.ModelUnloadComplete,
    events.ModelDrainStart,
    events.ModelDrainEnd,
    events.ModelActivate,
    events.InferenceStart,
    events.RequestQueued,
    events.RequestDispatched,
    events.InferenceComplete,
    events.ErrorEvent,
    events.BoxStateChanged,
    events.KeyChanged,
    log_events.DebugLog,
    log_events.ChatStart,
    log_events.ProcessingStart,
    log_events.SamplingParams,
    log_events.PromptProgress,
    log_events.CacheStats,
    log_events.TokenInfo,
    log_events.MonthTransition,
)
EVENT_NAMES = tuple(kind.name for kind in EVENT_KINDS)
_WITHOUT_PROMPTS = frozenset(kind.name for kind in EVENT_KINDS if not kind.holds_prompts)


def requested_names(lists: Iterable[str]) -> frozenset[str]:
    """Return the event names in comma-separated lists. Raises ValidationFailed for an unknown name."""
    names = frozenset(filter(None, map(str.strip, ",".join(lists).split(","))))
    if unknown := sorted(names.difference(EVENT_NAMES)):
        details = [
            Mistake(path="types", message=f"Unknown event; {suggestion(name, EVENT_NAMES)}")
            for name in unknown[:MAX_MISTAKES]
        ]
        raise ValidationFailed("Validation failed", details=details)
    return names


def readable_names(requested: frozenset[str], caller: Caller) -> frozenset[str]:
    """Return the names of the events that this reader gets; none means all.

    Raises ScopeMissing if only events were requested that the reader may not read.
    """
    if caller.has("log"):
        return requested
    names = requested & _WITHOUT_PROMPTS if requested else _WITHOUT_PROMPTS
    if not names:
        caller.require("log")
    return names
