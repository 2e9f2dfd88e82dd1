"""The events and their fan-out."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress

import msgspec
import pytest

from lmgateway.errors import GatewayError, NotFound, StudioFailed
from lmgateway.observe.activity import Activity
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
from lmgateway.observe.prometheus import Metrics
from lmgateway.observe.sse import NumberedEvent
from lmgateway.schema.models import DefaultInference, Gpu, LoadConfig

NAMED = {"model_key": "m", "instance_id": None}
NAMED_JSON = {"modelKey": "m", "instanceId": None}
START = ModelUnloadStart(**NAMED)
COMPLETE = ModelUnloadComplete(**NAMED, total_time_ms=1)


def publish(events: Events, count: int) -> None:
    for _ in range(count):
        events.publish(START)


async def heard(events: Events, subscription: Subscription) -> list[NumberedEvent]:
    """Everything that is in the queue, up to the end."""
    events.close()
    found: list[NumberedEvent] = []
    while (batch := await asyncio.wait_for(subscription.next(), 1)) is not None:
        found += batch.events
    return found


def fields_of(published: NumberedEvent) -> dict[str, object]:
    """What a reader finds in the event's data, which is one line."""
    found = re.fullmatch(rb"id: \d+\nevent: \w+\ndata: ([^\n]*)\n\n", published.frame)
    assert found is not None
    return dict(json.loads(found[1]))


async def test_everybody_hears_everything_in_order() -> None:
    """Two listeners see the same events, numbered from 1 without a gap."""
    events = Events()
    with events.subscribe() as one, events.subscribe() as other:
        for event in (START, COMPLETE, START):
            events.publish(event)
        first = await heard(events, one)
        assert first == await heard(events, other)
    assert [(published.number, published.name) for published in first] == [
        (1, "model_unload_start"),
        (2, "model_unload_complete"),
        (3, "model_unload_start"),
    ]


async def test_event_wakes_who_waits() -> None:
    """A listener needs no second event to hear the first."""
    events = Events()
    with events.subscribe() as subscription:
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        events.publish(START)
        batch = await asyncio.wait_for(waiting, 1)
    assert batch is not None
    assert [published.number for published in batch.events] == [1]


async def test_filter_by_name() -> None:
    """Only the named events come, with the numbers they have for everybody; the end comes regardless."""
    events = Events()
    with events.subscribe({"model_unload_complete", "no_such_event"}) as subscription:
        for event in (START, COMPLETE, START, COMPLETE):
            events.publish(event)
        assert [published.number for published in await heard(events, subscription)] == [2, 4]


@pytest.mark.parametrize(
    ("names", "after", "numbers"),
    [
        pytest.param((), None, [5], id="a new listener"),
        pytest.param((), 2, [3, 4, 5], id="one that comes back"),
        pytest.param((), 4, [5], id="one that missed nothing"),
        pytest.param((), 0, [1, 2, 3, 4, 5], id="from the beginning"),
        pytest.param((), 99, [1, 2, 3, 4, 5], id="one from before a restart"),
        pytest.param({"model_unload_complete"}, 1, [2, 4], id="with a filter"),
    ],
)
async def test_resume(names: set[str], after: int | None, numbers: list[int]) -> None:
    """Whoever comes back gets what happened meanwhile, once, and then goes on."""
    events = Events()
    for event in (START, COMPLETE, START, COMPLETE):
        events.publish(event)
    with events.subscribe(names, after=after) as subscription:
        events.publish(START)
        assert [published.number for published in await heard(events, subscription)] == numbers
        assert subscription.take_missed() == 0


@pytest.mark.parametrize("after", [1000, 1234], ids=["of the process before", "of this one"])
async def test_who_comes_back_too_late_is_told_how_much_it_missed(after: int) -> None:
    events = Events(after=1200)
    publish(events, HISTORY_EVENTS + 100)
    with events.subscribe(after=after) as subscription:
        assert subscription.take_missed() == 1300 - max(after, 1200)
        kept = await heard(events, subscription)
    assert [published.number for published in kept] == list(range(1301, 1301 + HISTORY_EVENTS))


async def test_after_a_restart_everything_is_news() -> None:
    """However few events the process before had, and however many this one."""
    before = Events(after=1000)
    publish(before, 12)
    now = Events(after=2000)
    publish(now, 20)
    with now.subscribe(after=1012) as subscription:
        assert subscription.take_missed() == 0
        assert [published.number for published in await heard(now, subscription)] == list(range(2001, 2021))


async def test_history_is_bounded() -> None:
    """A gateway that runs for months remembers the last events only, all of which fit a queue."""
    events = Events()
    publish(events, HISTORY_EVENTS + 10)
    with events.subscribe(after=0) as subscription:
        kept = await heard(events, subscription)
        assert [published.number for published in kept] == list(range(11, HISTORY_EVENTS + 11))
        assert subscription.take_missed() == 0


async def test_slow_listener_loses_the_oldest() -> None:
    """Publishing never waits; who is too slow is told once how many are gone; others lose nothing."""
    events = Events()
    with events.subscribe() as slow, events.subscribe({"model_unload_complete"}) as choosy:
        publish(events, 2 * QUEUE_EVENTS)
        events.publish(COMPLETE)
        kept = await heard(events, slow)
        missed = slow.take_missed()
        assert QUEUE_EVENTS - BATCH_EVENTS < len(kept) <= QUEUE_EVENTS
        assert [published.number for published in kept] == list(range(missed + 1, 2 * QUEUE_EVENTS + 2))
        assert (slow.take_missed(), events.lost) == (0, missed)
        assert [published.number for published in await heard(events, choosy)] == [2 * QUEUE_EVENTS + 1]
        assert choosy.take_missed() == 0


async def test_crowd_is_told_together() -> None:
    """The first event comes at once; those right behind it wait for each other, but only for a moment."""
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
        frames = [event.frame for event in await heard(events, one)]
        assert frames == [event.frame for event in await heard(events, other)]
    with events.subscribe(after=0) as late:
        assert [event.frame for event in await heard(events, late)][1:] == frames
    assert encoded == [COMPLETE, START]


async def test_end_reaches_full_queues() -> None:
    """At shutdown nobody goes on waiting, however far behind: the last thing they hear is the end."""
    events = Events()
    with events.subscribe() as full, events.subscribe() as empty:
        publish(events, QUEUE_EVENTS)
        number = 0
        while number < QUEUE_EVENTS:
            batch = await asyncio.wait_for(empty.next(), 1)
            assert batch is not None
            number += len(batch.events)
        assert await heard(events, empty) == []
        assert [published.number for published in await heard(events, full)][-1] == QUEUE_EVENTS


async def test_who_left_is_not_told() -> None:
    """A closed dashboard costs nothing any more."""
    events = Events()
    with events.subscribe() as left, events.subscribe() as stays:
        pass
    publish(events, 3)
    events.close()
    left.end()
    assert await left.next() is None
    assert left.take_missed() == stays.take_missed() == 0


async def test_who_comes_after_the_end() -> None:
    """A listener that slips in while the gateway stops doesn't hold it up."""
    events = Events()
    events.close()
    with events.subscribe() as late:
        assert await asyncio.wait_for(late.next(), 0.2) is None


GPU = LoadConfig(context_length=8192, gpu=Gpu(ratio=0.5), use_fp16_for_kv_cache=True)
EVENTS: list[tuple[Event, str, dict[str, object]]] = [
    (
        ModelLoadStart(**NAMED, load_config=GPU),
        "model_load_start",
        {
            **NAMED_JSON,
            "loadConfig": {"contextLength": 8192, "gpu": {"ratio": 0.5}, "useFp16ForKVCache": True},
        },
    ),
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
        {"operation": "inference", "modelKey": "m", "requestId": "r", "error": "No.", "totalTimeMs": 3},
    ),
]


@pytest.mark.parametrize(("event", "name", "fields"), EVENTS)
async def test_what_a_dashboard_reads(event: Event, name: str, fields: dict[str, object]) -> None:
    """Each event has the name and the fields it always had, and a time in UTC with milliseconds."""
    events = Events()
    with events.subscribe() as subscription:
        events.publish(event)
        (published,) = await heard(events, subscription)
    shown = fields_of(published)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(shown.pop("timestamp")))
    assert (published.name, shown) == (name, fields)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        pytest.param(NotFound("No such model."), "not_found", id="no"),
        pytest.param(asyncio.CancelledError(), None, id="left"),
        pytest.param(RuntimeError("a fault of ours"), "internal_error", id="fault"),
    ],
)
async def test_failed_operation_is_told_once(failure: BaseException, code: str | None) -> None:
    """One failure is one error event, with the operation and the model; a success is none."""
    events = Events()
    activity = Activity(events, Metrics())
    with events.subscribe() as subscription:
        with activity.operation("model_unload", "fine"):
            pass
        with pytest.raises(type(failure)), activity.operation("model_load", "m"):
            raise failure
        (published,) = await heard(events, subscription)
    shown = fields_of(published)
    assert published.name == "error"
    assert (shown["operation"], shown["modelKey"], bool(shown["error"])) == ("model_load", "m", True)
    assert shown.get("code") == code
    fields = {"timestamp", "operation", "modelKey", "error", "totalTimeMs"}
    assert shown.keys() - {"code"} == fields


@pytest.mark.parametrize("end", [None, NotFound("No such model.")], ids=["success", "a client's mistake"])
async def test_a_failure_is_the_state_until_the_next_operation_begins(end: GatewayError | None) -> None:
    """However one that began before ends."""
    activity = Activity(Events(), Metrics())
    with suppress(NotFound), activity.operation("model_load", "slow"):
        with suppress(StudioFailed), activity.operation("model_load", "m"):
            raise StudioFailed("No room.")
        if end is not None:
            raise end
    assert activity.status == "error"
    with activity.operation("model_unload", "m"):
        pass
    assert activity.status == "idle"
