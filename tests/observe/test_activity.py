"""Exchanges and model operations, of which several may run at once."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.errors import StudioFailed
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


async def test_an_error_lasts_until_the_next_operation(activity: Activity) -> None:
    fail(activity)
    assert activity.status == "error"
    with activity.operation("model_load", "b"):
        assert activity.status == "loading_model"
    assert activity.status == "idle"


async def test_what_fails_beside_an_operation_is_not_over_with_it(activity: Activity) -> None:
    for changed_nothing in (True, False):
        with activity.operation("model_unload", "b") as operation:
            operation.changed_nothing = changed_nothing
            fail(activity)
        assert activity.status == "error"


async def test_what_changes_nothing_brings_no_error_back(activity: Activity) -> None:
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
    """An exchange that ended a moment ago is published before what happens after it, and only once."""
    events = Events()
    activity = Activity(events, Metrics())
    exchange = exchange_of(1)
    with activity.exchange(exchange):
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


async def test_exchange_is_recorded_without_anybody_asking() -> None:
    """A subscriber that is there already sees the end of an exchange soon after it."""
    events = Events()
    activity = Activity(events, Metrics())
    with events.subscribe({"error"}) as subscription:
        for number in range(3):
            with pytest.raises(StudioFailed), activity.exchange(exchange_of(number)):
                raise StudioFailed("no")
            batch = await asyncio.wait_for(subscription.next(), 1)
            assert batch is not None
            assert len(batch.events) == 1


async def test_exchange_that_ended_counts_at_once(activity: Activity) -> None:
    """Not only when its record would have been made by itself."""
    for number in range(1, 4):
        with pytest.raises(StudioFailed), activity.exchange(exchange_of(number)):
            raise StudioFailed("no")
        assert (activity.total_requests, activity.total_errors) == (number, number)
        assert len(activity.history.recent) == number
