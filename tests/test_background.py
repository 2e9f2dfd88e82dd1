"""Tasks beside the requests."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lmgateway import background
from lmgateway.errors import GatewayError
from tests.support.waiting import until


async def test_a_task_that_fails_is_heard_of_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it before the gateway ends, which may be months later."""

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


async def test_a_thread_that_nobody_waits_for_any_more_doesnt_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it complain that nobody takes its result."""
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
        (GatewayError("was told as an event"), ""),
    ],
    ids=["fault", "told"],
)
async def test_a_fault_in_what_nobody_waits_for_any_more_is_logged(
    caplog: pytest.LogCaptureFixture, failure: Exception, log: str
) -> None:
    """Whoever leaves neither ends the task nor takes its failure along."""
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
