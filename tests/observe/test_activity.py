"""What is told of model operations, of which several may run at once."""

from __future__ import annotations

import pytest

from lmgateway.errors import StudioFailed
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
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
