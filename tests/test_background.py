"""Tasks beside the requests."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lmgateway import background
from lmgateway.errors import GatewayError
from tests.support.waiting import until


async def test_a_failed_task_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Its result is awaited only when the gateway ends, perhaps months later."""

    async def fail() -> None:
        raise ValueError("a fault of ours")

    task = background.start(fail())
    await asyncio.wait([task])
    assert "ValueError: a fault of ours" in caplog.text
    await background.end(task)


async def test_a_task_that_is_ended_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def watch() -> None:
        await asyncio.Event().wait()

    task = background.start(watch())
    await background.end(task)
    assert task.cancelled()
    assert caplog.text == ""


async def test_a_thread_whose_waiter_was_cancelled_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it warn that its result is never retrieved."""
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    done: list[str] = []
    waiting = asyncio.create_task(background.in_daemon_thread(lambda: done.append("work"), "late"))
    await asyncio.sleep(0)
    await background.end(waiting)
    started[0].run()
    assert done == []


@pytest.mark.parametrize(
    ("failure", "log"),
    [
        (ValueError("a fault of ours"), "ValueError: a fault of ours"),
        (GatewayError("was published as an event"), ""),
    ],
    ids=["fault", "published"],
)
async def test_a_fault_is_logged_though_the_waiter_was_cancelled(
    caplog: pytest.LogCaptureFixture, failure: Exception, log: str
) -> None:
    """A cancelled waiter neither ends the task nor hides its failure."""
    going_on = asyncio.Event()

    async def work() -> None:
        await going_on.wait()
        raise failure

    task = asyncio.create_task(work())
    waiting = asyncio.create_task(background.join(task))
    await asyncio.sleep(0)
    await background.end(waiting)
    going_on.set()
    await until(task.done)
    await asyncio.sleep(0)
    assert (log in caplog.text) if log else caplog.text == ""
