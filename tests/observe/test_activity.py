"""Exchanges and model operations, of which several may run at once."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest

from lmgateway.config import Limits
from lmgateway.errors import GatewayError, NotFound, StudioFailed
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.events import ModelUnloadStart
from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.prometheus import Metrics


@pytest.fixture
def activity() -> Activity:
    return Activity(Events(), Metrics())


def fail(activity: Activity) -> None:
    with pytest.raises(StudioFailed), activity.operation("model_load", "a"):
        raise StudioFailed("no")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        pytest.param(NotFound("No such model."), "not_found", id="no"),
        pytest.param(asyncio.CancelledError(), None, id="left"),
        pytest.param(RuntimeError("a fault of ours"), "internal_error", id="fault"),
    ],
)
async def test_a_failed_operation_is_one_event(failure: BaseException, code: str | None) -> None:
    """One failure is one error event, with the operation and the model; a success is none."""
    events = Events()
    activity = Activity(events, Metrics())
    with events.subscribe() as subscription:
        with activity.operation("model_unload", "fine"):
            pass
        with pytest.raises(type(failure)), activity.operation("model_load", "m"):
            raise failure
        batch = await asyncio.wait_for(subscription.next(), 1)
    assert batch is not None
    (published,) = batch.events
    data = json.loads(published.frame.partition(b"data: ")[2])
    assert published.name == "error"
    assert (data["operation"], data["modelKey"], bool(data["error"])) == ("model_load", "m", True)
    assert data.get("code") == code
    fields = {"timestamp", "operation", "modelKey", "error", "totalTimeMs"}
    assert data.keys() - {"code"} == fields


@pytest.mark.parametrize("end", [None, NotFound("No such model."), "changed nothing"])
async def test_a_failure_is_the_state_until_the_next_operation_begins(
    activity: Activity, end: GatewayError | str | None
) -> None:
    """However an operation ends that began before the failure."""
    with suppress(NotFound), activity.operation("model_load", "slow") as operation:
        fail(activity)
        operation.changed_nothing = end == "changed nothing"
        if isinstance(end, GatewayError):
            raise end
    assert activity.status == "error"
    with activity.operation("model_load", "b"):
        assert activity.status == "loading_model"
    assert activity.status == "idle"


async def test_an_operation_that_changed_nothing_restores_no_error(activity: Activity) -> None:
    fail(activity)
    with activity.operation("model_unload", "b") as operation:
        operation.changed_nothing = True
        with activity.operation("model_load", "c"):
            pass
    assert activity.status == "idle"


def exchange_of(number: int) -> Exchange:
    return Exchange(
        request_id=str(number), client="c", method="GET", path="/", cancellation=Cancellation(lambda: None)
    )


async def test_events_keep_their_order_though_exchanges_are_recorded_later() -> None:
    """An ended exchange is published before later events, and once."""
    events = Events()
    activity = Activity(events, Metrics())
    exchange = exchange_of(1)
    with activity.exchange(exchange, Limits()):
        activity.announce(exchange)
    events.publish(ModelUnloadStart(model_key="m", instance_id=None))
    with events.subscribe(after=0) as subscription:
        batch = await asyncio.wait_for(subscription.next(), 1)
    assert batch is not None
    assert [event.name for event in batch.events] == [
        "inference_start",
        "inference_complete",
        "model_unload_start",
    ]


async def test_an_exchange_is_recorded_without_being_read() -> None:
    """A subscriber gets the end of an exchange soon after it."""
    events = Events()
    activity = Activity(events, Metrics())
    with events.subscribe({"error"}) as subscription:
        for number in range(3):
            with pytest.raises(StudioFailed), activity.exchange(exchange_of(number), Limits()):
                raise StudioFailed("no")
            batch = await asyncio.wait_for(subscription.next(), 1)
            assert batch is not None
            assert len(batch.events) == 1


async def test_exchange_that_ended_counts_at_once(activity: Activity) -> None:
    """Before its record is made by the timer."""
    for number in range(1, 4):
        with pytest.raises(StudioFailed), activity.exchange(exchange_of(number), Limits()):
            raise StudioFailed("no")
        assert (activity.total_requests, activity.total_errors) == (number, number)
        assert len(activity.history.recent) == number
