"""Tasks beside the requests."""

from __future__ import annotations

import asyncio
import re
import threading
from functools import partial

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


async def test_work_that_fails_is_run_again(caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is logged, with its place; the last run goes on."""
    runs: list[float] = []
    clock = asyncio.get_running_loop().time

    async def fail_three_times() -> None:
        runs.append(clock())
        if len(runs) <= 3:
            raise ValueError("a fault of ours")
        await asyncio.Event().wait()

    async with background.running(partial(fail_three_times)):
        task = background.start(background.restarting(fail_three_times, pause=0.01, longest_pause=0.02))
        await until(lambda: len(runs) == 5)
        assert not task.done()
        await background.end(task)
    failures = [record.getMessage() for record in caplog.records if record.exc_info]
    assert len(failures) == 3
    assert all("fail_three_times failed" in failure for failure in failures)
    assert sorted(failure.rpartition(" in ")[2] for failure in failures) == ["0.01 s", "0.02 s", "1 s"]


async def test_work_that_ends_is_not_run_again(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[None] = []

    async def end() -> None:
        runs.append(None)

    await background.restarting(end)
    assert (len(runs), caplog.text) == (1, "")


async def test_the_pause_is_short_again_after_a_long_run(caplog: pytest.LogCaptureFixture) -> None:
    """A fault a day doesn't make the pauses longer and longer."""
    runs = 0
    now = 0.0

    async def run_for_an_hour_in_the_end() -> None:
        nonlocal runs, now
        runs += 1
        now += 3600 if runs == 3 else 0
        raise ValueError("a fault of ours")

    work = background.restarting(run_for_an_hour_in_the_end, pause=0.001, clock=lambda: now)
    task = background.start(work)
    await until(lambda: runs == 4)
    await background.end(task)
    pauses = re.findall(r"again in (\S+) s", caplog.text)
    assert pauses[:4] == ["0.001", "0.002", "0.001", "0.002"]


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
