"""The waits for LM Studio's answers, when it goes down."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.boxes.awaiting import Awaiting
from lmgateway.boxes.http.response import UpstreamResponse
from lmgateway.errors import UpstreamWentDown


async def never() -> UpstreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("times", [1, 2])
async def test_what_has_no_answer_fails_when_it_goes_down(times: int) -> None:
    """Also if that is told once more before those that wait have noticed."""
    awaiting = Awaiting()
    waits = [asyncio.create_task(awaiting.head(never())) for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(times):
        awaiting.interrupt()
        await asyncio.sleep(0)
    for wait in waits:
        with pytest.raises(UpstreamWentDown):
            await wait


async def test_what_is_sent_later_isnt_concerned() -> None:
    """It may be up again by then."""
    awaiting = Awaiting()
    awaiting.interrupt()
    wait = asyncio.create_task(awaiting.head(never()))
    await asyncio.sleep(0)
    assert not wait.done()
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait


async def test_a_time_out_of_the_request_itself_is_its_own() -> None:
    awaiting = Awaiting()

    async def slow() -> UpstreamResponse:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await awaiting.head(slow())
