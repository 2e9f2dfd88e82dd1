"""The event stream: its subscriptions, and a bounded history for subscribers that reconnect."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from ..config import Limits
from .capacity import Capacity
from .events import Event
from .faults import Faults
from .sse import Batch, NumberedEvent

HISTORY_EVENTS = 1000
HISTORY_BYTES = 8 * 1024**2
# A larger event isn't stored in the history.
EVENT_BYTES = 64 * 1024
# Under load events are delivered in batches: one every PAUSE_SECONDS, or as soon as BATCH_EVENTS are waiting.
# Delivered singly, events to a hundred subscribers cost more than the requests. After a pause the next event
# is delivered at once.
PAUSE_SECONDS = 0.05
BATCH_EVENTS = 250
BATCH_BYTES = 1024**2
# Events that are published together are counted in groups of so many.
_COUNTED_TOGETHER = 25
_FULL_BATCH = BATCH_EVENTS - _COUNTED_TOGETHER
# Room for a replay of the whole history to a subscriber that reconnects, and for one batch more. All
# subscribers share the events.
QUEUE_EVENTS = HISTORY_EVENTS + BATCH_EVENTS
QUEUE_BYTES = HISTORY_BYTES + BATCH_BYTES


class Subscription:
    """A subscriber's bounded queue. A full one drops its oldest batches, and counts the lost events."""

    def __init__(self, names: Collection[str], missed: int = 0) -> None:
        """`missed` is the number of events that were lost before the subscription."""
        self._names = names
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._queued = self._queued_bytes = 0
        self._missed = missed
        self._has_ended = False

    def select(self, names: Collection[str]) -> None:
        """From now on, enqueue only events of these names; all, if no names are given."""
        self._names = names

    def offer(self, batch: Batch) -> int:
        """Enqueue a batch without waiting; return how many older events were dropped for it."""
        batch = batch.only(self._names)
        if not batch.events or self._has_ended:
            return 0
        self._queue.put_nowait(batch)
        self._queued += len(batch.events)
        self._queued_bytes += batch.size
        dropped = 0
        while self._is_too_full and self._queue.qsize() > 1:
            dropped += self._dequeued(self._queue.get_nowait())
        self._missed += dropped
        return dropped

    @property
    def _is_too_full(self) -> bool:
        return self._queued > QUEUE_EVENTS or self._queued_bytes > QUEUE_BYTES

    def end(self) -> None:
        """End the subscription after the events that are queued."""
        self._has_ended = True
        self._queue.put_nowait(None)

    def cut(self) -> None:
        """End the subscription at once, without the events that are queued."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queued = self._queued_bytes = 0
        self.end()

    async def next(self) -> Batch | None:
        """Wait for the next events and return them; None at the end."""
        batch = await self._queue.get()
        self._dequeued(batch)
        return batch

    def _dequeued(self, batch: Batch | None) -> int:
        if batch is None:
            return 0
        self._queued -= len(batch.events)
        self._queued_bytes -= batch.size
        return len(batch.events)

    def take_missed(self) -> int:
        """Return how many events were lost since the last call."""
        missed, self._missed = self._missed, 0
        return missed


class Events:
    """The owner of the subscriptions and of a bounded history of events."""

    def __init__(self, *, after: int = 0) -> None:
        """The first event has the number `after` + 1, which must be higher than any before a restart."""
        self.history: deque[NumberedEvent] = deque()
        self.faults = Faults()
        self.lost = 0
        self._history_bytes = 0
        self._subscriptions: set[Subscription] = set()
        self._readers = Capacity(
            "{} clients read events already, the most that limits.subscribers allows.",
            "This address reads {} event streams already, its share of limits.subscribers.",
        )
        self._before = self._number = after
        self._undelivered: list[NumberedEvent] = []
        self._undelivered_bytes = 0
        self._delivery: asyncio.Handle | None = None
        self._delivered_at = 0.0
        self._closed = False
        self._publish_pending: Callable[[], None] = lambda: None

    def before_each(self, publish_pending: Callable[[], None]) -> None:
        """Call this before publishing an event, so that events pending elsewhere keep their order."""
        self._publish_pending = publish_pending

    def publish(self, event: Event) -> None:
        """Deliver an event to all subscribers. Never raises or waits: a slow subscriber loses events."""
        try:
            self._publish_pending()
            self.publish_first((event,))
        except Exception:  # a fault of an event fails neither a request nor an operation
            self.faults.log("Publishing an event")

    def publish_first(self, events: Iterable[Event]) -> None:
        """Deliver events before those that are pending elsewhere. A fault of an event is raised.

        Those of many requests together take 1 µs less for each than one by one.
        """
        numbered = [
            NumberedEvent(number, event, self.faults) for number, event in enumerate(events, self._number + 1)
        ]
        self._number += len(numbered)
        self._remember(numbered)
        if not self._subscriptions:
            return
        for start in range(0, len(numbered), _COUNTED_TOGETHER):
            self._undelivered += (some := numbered[start : start + _COUNTED_TOGETHER])
            self._undelivered_bytes += sum([event.size for event in some])
            if self._delivery is None:
                loop = asyncio.get_running_loop()
                self._delivery = loop.call_at(self._delivered_at + PAUSE_SECONDS, self._deliver)
            elif len(self._undelivered) > _FULL_BATCH or self._undelivered_bytes >= BATCH_BYTES:
                self._deliver()

    def _remember(self, events: Iterable[NumberedEvent]) -> None:
        history, size = self.history, self._history_bytes
        for event in events:
            if event.size <= EVENT_BYTES:
                history.append(event)
                size += event.size
        while len(history) > HISTORY_EVENTS or size > HISTORY_BYTES:
            size -= history.popleft().size
        self._history_bytes = size

    def _deliver(self) -> None:
        if self._delivery is None:
            return
        self._delivery.cancel()
        self._delivery, self._delivered_at = None, asyncio.get_running_loop().time()
        batch = Batch(self._undelivered, is_shared=True)
        self._undelivered, self._undelivered_bytes = [], 0
        for subscription in self._subscriptions:
            self.lost += subscription.offer(batch)

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    @contextmanager
    def admitted(self, client: str, limits: Limits) -> Iterator[None]:
        """Count a reader inside. Raises Overloaded if no more are allowed, or its address has four fifths."""
        share = limits.subscribers - limits.subscribers // 5
        self._readers.claim(client, 1, limit=limits.subscribers, share=share)
        try:
            yield
        finally:
            self._readers.give_back(client, 1)

    @contextmanager
    def subscribe(self, names: Collection[str] = (), *, after: int | None = None) -> Iterator[Subscription]:
        """Subscribe to events of these names (by default all), and replay those after number `after`.

        Events after it that aren't in the history count as missed, whatever their names. With `after` 0 the
        whole history is replayed, and nothing counts as missed.
        """
        self._publish_pending()
        self._deliver()  # events older than the subscription go only to the others
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

    def _since(self, after: int) -> tuple[list[NumberedEvent], int]:
        """Return the events after this number, and how many of them aren't in the history."""
        # A number that isn't assigned yet is from before a restart, after which the clock was set back.
        known = max(after, self._before) if after <= self._number else self._before
        events = [event for event in self.history if event.number > known]
        return events, self._number - known - len(events) if after else 0

    def close(self) -> None:
        """End every subscription, present and future, because no more events will be published."""
        self._publish_pending()
        self._deliver()
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
