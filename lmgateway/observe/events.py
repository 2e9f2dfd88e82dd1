"""The events of /debug/stream, and their fan-out to whoever listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from ..errors import RETRY_SOON, Overloaded
from ..schema import DefaultInference, LoadConfig, TokenUsage
from .clock import iso_timestamp

HISTORY_EVENTS = 1000
QUEUE_EVENTS = 1000
CROWD_EVENTS = QUEUE_EVENTS // 4


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


def sse_frame(name: str, data: bytes, number: int | None = None) -> bytes:
    """Return an event as it goes over the wire (HTML standard, section 9.2.6); `data` is one line of JSON."""
    numbered = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (numbered, name.encode(), data)


class Published(Struct, frozen=True):
    """An event as subscribers get it: numbered in order, encoded once for all of them."""

    number: int
    name: str
    frame: bytes

    @property
    def data(self) -> str:
        """The JSON in the frame."""
        return self.frame.partition(b"data: ")[2].decode().rstrip()


class Subscription:
    """One listener's queue. Full, it loses the oldest and counts them in `missed`."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._queue: asyncio.Queue[Published | None] = asyncio.Queue(QUEUE_EVENTS)
        self._crowded = asyncio.Event()
        self._missed = 0

    def offer(self, published: Published | None) -> bool:
        """Put it in without waiting, None at the end; return whether an older one had to go for it."""
        if published is not None and self._names and published.name not in self._names:
            return False
        overflows = self._queue.full()
        if overflows:
            self._queue.get_nowait()
            self._missed += 1
        self._queue.put_nowait(published)
        if published is None or self._queue.qsize() >= CROWD_EVENTS:
            self._crowded.set()
        return overflows

    async def next(self) -> Published | None:
        """Return the next event, None after the last one."""
        return await self._queue.get()

    async def gather(self, seconds: float) -> None:
        """Wait so long for more events, and less if they come so fast that some would be lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._crowded.wait()

    def queued(self) -> list[Published | None]:
        """Return what is there already, as `next` would one after the other."""
        self._crowded.clear()
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    def take_missed(self) -> int:
        """Return how many were lost since this was last asked."""
        missed, self._missed = self._missed, 0
        return missed


class Events:
    """The owner of who listens, and of the last events for those who come back."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._history: deque[Published] = deque(maxlen=HISTORY_EVENTS)
        self._number = 0
        self.lost = 0
        self._closed = False

    def publish(self, event: Event) -> None:
        """Tell everybody. Never waits: a listener that doesn't keep up is its own problem."""
        self._number += 1
        frame = sse_frame(event.name, msgspec.json.encode(event), self._number)
        published = Published(self._number, event.name, frame)
        self._history.append(published)
        for subscription in self._subscriptions:
            self.lost += subscription.offer(published)

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
        """Listen to events of these names (all if none are given), first to those kept since `after`."""
        subscription = Subscription(names)
        if after is not None:
            # A number that isn't given out yet is from before a restart: all since then is news.
            known = after if after <= self._number else 0
            for published in self._history:
                if published.number > known:
                    subscription.offer(published)
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.offer(None)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every subscription, later ones too, so that nobody waits for events that won't come."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.offer(None)
