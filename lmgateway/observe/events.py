"""The events of /debug/stream, and their fan-out to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import ClassVar

from msgspec import UNSET, Struct, UnsetType, field

from ..errors import RETRY_SOON, Overloaded
from ..schema.debug import TokenUsage
from ..schema.models import DefaultInference, LoadConfig
from .clock import iso_timestamp
from .published import Batch, Past, Published
from .remembered import Remembered

HISTORY_EVENTS = 1000
# Under load everybody gets what happened in so long at once, or so many events, or a hundred listeners would
# cost more than the requests that they watch. The first event after a silence is never held back.
PAUSE_SECONDS = 0.05
BATCH_EVENTS = 250
# Room for all that is replayed to a listener that comes back, and for what happens meanwhile.
QUEUE_EVENTS = HISTORY_EVENTS + BATCH_EVENTS


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that happened; `name` is its event name on the stream."""

    name: ClassVar[str]
    timestamp: str = field(default_factory=iso_timestamp)


class ModelLoadStart(Event, frozen=True, kw_only=True):
    name = "model_load_start"
    model_key: str
    instance_id: str | None
    load_config: LoadConfig | None


class ModelLoadProgress(Event, frozen=True, kw_only=True):
    """`progress` is in percent, `progress_raw` from 0 to 1."""

    name = "model_load_progress"
    model_key: str
    instance_id: str | None
    progress: float
    progress_raw: float


class ModelLoadComplete(Event, frozen=True, kw_only=True):
    name = "model_load_complete"
    model_key: str
    instance_id: str | None
    activated: bool
    total_time_ms: int
    load_config: dict[str, object]


class ModelUnloadStart(Event, frozen=True, kw_only=True):
    name = "model_unload_start"
    model_key: str
    instance_id: str | None


class ModelUnloadComplete(Event, frozen=True, kw_only=True):
    name = "model_unload_complete"
    model_key: str
    instance_id: str | None
    total_time_ms: int


class ModelActivate(Event, frozen=True, kw_only=True):
    name = "model_activate"
    model_key: str
    instance_id: str | None
    default_inference: DefaultInference


class InferenceStart(Event, frozen=True, kw_only=True):
    name = "inference_start"
    request_id: str
    method: str
    path: str
    model: str | None
    client: str


class InferenceComplete(Event, frozen=True, kw_only=True):
    name = "inference_complete"
    request_id: str
    total_time_ms: int
    token_usage: TokenUsage | None
    status: int
    ttft_ms: int | None
    tokens_per_second: float | None
    stream: bool


class ErrorEvent(Event, frozen=True, kw_only=True):
    name = "error"
    operation: str | UnsetType = UNSET
    model_key: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    error: str
    total_time_ms: int


class Subscription:
    """One listener's queue. Full, it loses the oldest batches and counts their events in `missed`."""

    def __init__(self, names: Collection[str], missed: int = 0) -> None:
        """`missed` is how many were lost before it began."""
        self._names = names
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._waiting = 0
        self._missed = missed

    def offer(self, batch: Batch) -> int:
        """Put it in without waiting; return how many older events had to go for it."""
        wanted = batch.only(self._names)
        if not wanted.events:
            return 0
        self._queue.put_nowait(wanted)
        self._waiting += len(wanted.events)
        lost = 0
        while self._waiting > QUEUE_EVENTS and self._queue.qsize() > 1:
            lost += self._taken(self._queue.get_nowait())
        self._missed += lost
        return lost

    def end(self) -> None:
        """Let nothing come after what is in the queue."""
        self._queue.put_nowait(None)

    async def next(self) -> Batch | None:
        """Return the next events, None after the last ones."""
        batch = await self._queue.get()
        self._taken(batch)
        return batch

    def _taken(self, batch: Batch | None) -> int:
        number = len(batch.events) if batch else 0
        self._waiting -= number
        return number

    def take_missed(self) -> int:
        """Return how many were lost since this was last asked."""
        missed, self._missed = self._missed, 0
        return missed


class Events:
    """The owner of who listens, and of the last events for those who come back."""

    def __init__(self, *, after: int = 0) -> None:
        """Events are numbered from the one after this on, which should be more than any number before."""
        self._subscriptions: set[Subscription] = set()
        self.history = Remembered(Past, HISTORY_EVENTS, Published.past)
        self._before = self._number = after
        self._undelivered: list[Published] = []
        self._delivery: asyncio.Handle | None = None
        self._delivered_at = 0.0
        self._closed = False
        self.lost = 0

    def publish(self, event: Event) -> None:
        """Tell everybody. Never waits: a listener that doesn't keep up is its own problem."""
        self.publish_made(event.name, lambda: event)

    def publish_made(self, name: str, make: Callable[[], Event]) -> None:
        """Publish an event that is made when the first listener wants it; what it tells mustn't change."""
        self._number += 1
        published = Published(self._number, name, make)
        self.history.add(published)
        if not self._subscriptions:
            return
        self._undelivered.append(published)
        if self._delivery is None:
            loop = asyncio.get_running_loop()
            self._delivery = loop.call_at(self._delivered_at + PAUSE_SECONDS, self._deliver)
        elif len(self._undelivered) >= BATCH_EVENTS:
            self._deliver()

    def _deliver(self) -> None:
        if self._delivery is None:
            return
        self._delivery.cancel()
        self._delivery, self._delivered_at = None, asyncio.get_running_loop().time()
        batch, self._undelivered = Batch(self._undelivered), []
        for subscription in self._subscriptions:
            self.lost += subscription.offer(batch)

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    def admit(self, most: int) -> None:
        """Raise Overloaded if there are so many listeners already."""
        if len(self._subscriptions) >= most:
            raise Overloaded(
                f"{most} are listening already, as many as limits.subscribers allows. Ask again later.",
                headers=RETRY_SOON,
            )

    @contextmanager
    def subscribe(self, names: Collection[str] = (), *, after: int | None = None) -> Iterator[Subscription]:
        """Listen to events of these names (all if none are given), first to those kept since `after`.

        Those since then that aren't kept any more, of whatever names, count as missed. 0 is for a newcomer,
        who wants all that are kept, and missed nothing.
        """
        self._deliver()  # what is older than the subscription
        past, missed = ([], 0) if after is None else self._since(after)
        subscription = Subscription(names, missed)
        for start in range(0, len(past), BATCH_EVENTS):
            subscription.offer(Batch(past[start : start + BATCH_EVENTS]))
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.end()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def _since(self, after: int) -> tuple[list[Past], int]:
        """Return the events since this one that are kept, and how many aren't."""
        # A number that isn't given out yet is from before a restart, with a clock that went wrong.
        known = max(after, self._before) if after <= self._number else self._before
        kept = [past for past in self.history.all() if past.number > known]
        return kept, self._number - known - len(kept) if after else 0

    def close(self) -> None:
        """End every subscription, later ones too, so that nobody waits for events that won't come."""
        self._deliver()
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
