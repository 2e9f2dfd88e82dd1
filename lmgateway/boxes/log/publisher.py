"""The way of the log's events to their readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...observe.event_stream import Events
from ...observe.events import Event
from .events import PromptProgress

# A burst is published in parts, because subscribers' queues are bounded; the rest waits where it was read.
BURST_EVENTS = 100
BURST_PAUSE_SECONDS = 0.005


class Publisher:
    """Publishes the log's events, and passes a prompt's progress, from 0 to 1, to `on_prompt_progress`."""

    def __init__(self, events: Events, on_prompt_progress: Callable[[float], None] | None = None) -> None:
        self._events = events
        self._on_prompt_progress = on_prompt_progress
        self._without_pause = 0

    async def publish(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, PromptProgress) and self._on_prompt_progress is not None:
                self._on_prompt_progress(event.progress / 100)
            self._events.publish(event)
            self._without_pause += 1
            if self._without_pause == BURST_EVENTS:
                self._without_pause = 0
                await asyncio.sleep(BURST_PAUSE_SECONDS)
