"""Tasks beside the requests."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway import background


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
