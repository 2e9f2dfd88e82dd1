"""The events and their fan-out."""

from __future__ import annotations

import asyncio
import json
import re

import msgspec
import pytest

from lmgateway.observe.event_stream import (
    BATCH_EVENTS,
    HISTORY_EVENTS,
    PAUSE_SECONDS,
    QUEUE_EVENTS,
    Events,
    Subscription,
)
from lmgateway.observe.events import (
    ErrorEvent,
    Event,
    ModelActivate,
    ModelLoadComplete,
    ModelLoadProgress,
    ModelLoadStart,
    ModelUnloadComplete,
    ModelUnloadStart,
)
from lmgateway.observe.sse import NumberedEvent
from lmgateway.schema.models import DefaultInference, Gpu, LoadConfig

NAMED = {"model_key": "m", "instance_id": None}
NAMED_JSON = {"modelKey": "m", "instanceId": None}
START = ModelUnloadStart(**NAMED)
COMPLETE = ModelUnloadComplete(**NAMED, total_time_ms=1)


def publish(events: Events, count: int) -> None:
    for _ in range(count):
        events.publish(START)


async def received(events: Events, subscription: Subscription) -> list[NumberedEvent]:
    """Everything in the queue, up to the end."""
    events.close()
    batches: list[NumberedEvent] = []
    while (batch := await asyncio.wait_for(subscription.next(), 1)) is not None:
        batches += batch.events
    return batches


async def numbers_of(events: Events, subscription: Subscription) -> list[int]:
    return [published.number for published in await received(events, subscription)]


def fields_of(published: NumberedEvent) -> dict[str, object]:
    """The event's data, which is one line of its frame."""
    frame = re.fullmatch(rb"id: \d+\nevent: \w+\ndata: ([^\n]*)\n\n", published.frame)
    assert frame is not None
    return dict(json.loads(frame[1]))


async def test_each_subscriber_gets_every_event_in_order() -> None:
    """Numbered from 1 without a gap."""
    events = Events()
    with events.subscribe() as one, events.subscribe() as other:
        for event in (START, COMPLETE, START):
            events.publish(event)
        first = await received(events, one)
        assert first == await received(events, other)
    assert [(published.number, published.name) for published in first] == [
        (1, "model_unload_start"),
        (2, "model_unload_complete"),
        (3, "model_unload_start"),
    ]


@pytest.mark.parametrize(
    ("names", "after", "numbers"),
    [
        pytest.param((), None, [5], id="a new listener"),
        pytest.param((), 2, [3, 4, 5], id="one that reconnects"),
        pytest.param((), 4, [5], id="one that missed nothing"),
        pytest.param((), 0, [1, 2, 3, 4, 5], id="from the beginning"),
        pytest.param((), 99, [1, 2, 3, 4, 5], id="one from before a restart"),
        pytest.param({"model_unload_complete"}, 1, [2, 4], id="with a filter"),
    ],
)
async def test_resume(names: set[str], after: int | None, numbers: list[int]) -> None:
    """A subscriber that reconnects gets the missed events once, and then the new ones."""
    events = Events()
    for event in (START, COMPLETE, START, COMPLETE):
        events.publish(event)
    with events.subscribe(names, after=after) as subscription:
        events.publish(START)
        assert await numbers_of(events, subscription) == numbers
        assert subscription.take_missed() == 0


@pytest.mark.parametrize("after", [1000, 1234], ids=["of the process before", "of this one"])
async def test_a_subscriber_that_reconnects_too_late_gets_the_number_of_lost_events(after: int) -> None:
    events = Events(after=1200)
    publish(events, HISTORY_EVENTS + 100)
    with events.subscribe(after=after) as subscription:
        assert subscription.take_missed() == 1300 - max(after, 1200)
        assert await numbers_of(events, subscription) == list(range(1301, 1301 + HISTORY_EVENTS))


async def test_after_a_restart_all_events_are_new() -> None:
    """Whatever the number of events of either process."""
    before = Events(after=1000)
    publish(before, 12)
    now = Events(after=2000)
    publish(now, 20)
    with now.subscribe(after=1012) as subscription:
        assert subscription.take_missed() == 0
        assert await numbers_of(now, subscription) == list(range(2001, 2021))


async def test_a_slow_subscriber_loses_the_oldest() -> None:
    """Publishing never waits; a slow subscriber gets the number of lost events once; others lose none."""
    events = Events()
    with events.subscribe() as slow, events.subscribe({"model_unload_complete"}) as choosy:
        publish(events, 2 * QUEUE_EVENTS)
        events.publish(COMPLETE)
        numbers = await numbers_of(events, slow)
        missed = slow.take_missed()
        assert QUEUE_EVENTS - BATCH_EVENTS < len(numbers) <= QUEUE_EVENTS
        assert numbers == list(range(missed + 1, 2 * QUEUE_EVENTS + 2))
        assert (slow.take_missed(), events.lost) == (0, missed)
        assert await numbers_of(events, choosy) == [2 * QUEUE_EVENTS + 1]
        assert choosy.take_missed() == 0


async def test_events_in_quick_succession_are_one_batch() -> None:
    """The first event comes at once; the next ones are collected for a short pause."""
    loop, events = asyncio.get_running_loop(), Events()
    with events.subscribe() as subscription:
        events.publish(START)
        first, began = await subscription.next(), loop.time()
        publish(events, 3)
        await asyncio.sleep(0)
        publish(events, 4)
        rest = await asyncio.wait_for(subscription.next(), 1)
        waited = loop.time() - began
    assert first is not None
    assert rest is not None
    assert [len(batch.events) for batch in (first, rest)] == [1, 7]
    assert PAUSE_SECONDS / 2 < waited < 10 * PAUSE_SECONDS


async def test_event_is_encoded_once_and_only_for_a_subscriber(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without subscribers nothing is encoded, and a hundred of them cost no more encoding than one."""
    encoded: list[object] = []
    encode = msgspec.json.encode

    def counting(event: object) -> bytes:
        encoded.append(event)
        return encode(event)

    monkeypatch.setattr(msgspec.json, "encode", counting)
    events = Events()
    events.publish(START)
    assert encoded == []
    with events.subscribe() as one, events.subscribe({COMPLETE.name}) as other:
        events.publish(COMPLETE)
        frames = [event.frame for event in await received(events, one)]
        assert frames == [event.frame for event in await received(events, other)]
    with events.subscribe(after=0) as late:
        assert [event.frame for event in await received(events, late)][1:] == frames
    assert encoded == [COMPLETE, START]


async def test_end_reaches_full_queues() -> None:
    """At shutdown every subscriber, also a slow one, gets its events and then the end."""
    events = Events()
    with events.subscribe() as full, events.subscribe() as empty:
        publish(events, QUEUE_EVENTS)
        number = 0
        while number < QUEUE_EVENTS:
            batch = await asyncio.wait_for(empty.next(), 1)
            assert batch is not None
            number += len(batch.events)
        assert await received(events, empty) == []
        assert (await numbers_of(events, full))[-1] == QUEUE_EVENTS


async def test_a_closed_subscription_gets_nothing() -> None:
    """A closed dashboard costs nothing."""
    events = Events()
    with events.subscribe() as left, events.subscribe() as stays:
        pass
    publish(events, 3)
    events.close()
    left.end()
    assert await left.next() is None
    assert left.take_missed() == stays.take_missed() == 0


async def test_a_subscription_after_the_end() -> None:
    """A subscriber that connects while the gateway stops doesn't delay it."""
    events = Events()
    events.close()
    with events.subscribe() as late:
        assert await asyncio.wait_for(late.next(), 0.2) is None


GPU = LoadConfig(context_length=8192, gpu=Gpu(ratio=0.5), use_fp16_for_kv_cache=True)
GPU_JSON = {"contextLength": 8192, "gpu": {"ratio": 0.5}, "useFp16ForKVCache": True}
FAILED = {"operation": "inference", "modelKey": "m", "requestId": "r", "error": "No.", "totalTimeMs": 3}
EVENTS: list[tuple[Event, str, dict[str, object]]] = [
    (ModelLoadStart(**NAMED, load_config=GPU), "model_load_start", {**NAMED_JSON, "loadConfig": GPU_JSON}),
    (ModelLoadStart(**NAMED, load_config=None), "model_load_start", {**NAMED_JSON, "loadConfig": None}),
    (
        ModelLoadProgress(**NAMED, progress=33.3, progress_raw=1 / 3),
        "model_load_progress",
        {**NAMED_JSON, "progress": 33.3, "progressRaw": 1 / 3},
    ),
    (
        ModelLoadComplete(**NAMED, activated=True, total_time_ms=7, load_config={"flashAttention": True}),
        "model_load_complete",
        {**NAMED_JSON, "activated": True, "totalTimeMs": 7, "loadConfig": {"flashAttention": True}},
    ),
    (START, "model_unload_start", NAMED_JSON),
    (COMPLETE, "model_unload_complete", {**NAMED_JSON, "totalTimeMs": 1}),
    (
        ModelActivate(model_key="m", instance_id="mine", default_inference=DefaultInference(max_tokens=5)),
        "model_activate",
        {"modelKey": "m", "instanceId": "mine", "defaultInference": {"maxTokens": 5}},
    ),
    (ErrorEvent(error="No.", total_time_ms=3), "error", {"error": "No.", "totalTimeMs": 3}),
    (
        ErrorEvent(operation="inference", model_key="m", request_id="r", error="No.", total_time_ms=3),
        "error",
        FAILED,
    ),
]


@pytest.mark.parametrize(("event", "name", "fields"), EVENTS)
async def test_names_and_fields(event: Event, name: str, fields: dict[str, object]) -> None:
    """Those of the older gateways, and a time in UTC with milliseconds."""
    events = Events()
    with events.subscribe() as subscription:
        events.publish(event)
        (published,) = await received(events, subscription)
    data = fields_of(published)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(data.pop("timestamp")))
    assert (published.name, data) == (name, fields)
