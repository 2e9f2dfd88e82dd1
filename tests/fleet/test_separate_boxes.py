"""The processes that the long tests of several boxes work with: each signal does what it says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.support.separate_boxes import LLM, BoxOptions, SeparateBox, SeparateBoxes, separate_boxes
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

CHAT = {"model": LLM, "messages": [{"role": "user", "content": "Answer in 5 words."}], "max_tokens": 5}


async def greets(box: SeparateBox, seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether it answers in time."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        try:
            async with client.get(f"{box.base_url}/lmstudio-greeting") as response:
                return response.status == 200
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False


async def chat(house: SeparateBoxes, request_id: str) -> int:
    headers = {"X-Request-Id": request_id}
    url = f"{house.gateway.base_url}/v1/chat/completions"
    async with house.client.post(url, json=CHAT, headers=headers) as response:
        await response.read()
        return response.status


async def test_a_box_is_killed_frozen_and_started_again(tmp_path: Path) -> None:
    """Behind a gateway with one box."""
    async with separate_boxes(tmp_path, names=("a",)) as house:
        box = house.boxes["a"]
        port = box.port
        assert await chat(house, "one") == 200
        assert house.boxes_of("one") == ["a"]
        assert [one.event for one in box.receipts() if one.request_id == "one"] == ["received", "answering"]

        await box.freeze()
        assert not await greets(box, 0.2)
        await box.thaw()
        assert await greets(box)

        await box.kill()
        assert not await greets(box)
        await box.start()
        assert box.port == port
        assert await greets(box)


async def test_a_box_refuses_and_drops_what_it_is_told_to(tmp_path: Path) -> None:
    box = SeparateBox("a", tmp_path / "a.receipts", BoxOptions())
    await box.start()
    try:
        await box.tell("refuse")
        assert not await greets(box)
        await box.tell("serve")
        assert await greets(box)

        await box.tell("drop")
        assert await greets(box)
        async with aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.post(f"{box.base_url}/v1/chat/completions", json=CHAT)
            await box.tell("serve")
            async with client.post(f"{box.base_url}/v1/chat/completions", json=CHAT) as response:
                assert response.status == 200
    finally:
        await box.kill()


async def test_a_box_slows_down(tmp_path: Path) -> None:
    """Of five tokens, four a second, the last four take a second."""
    box = SeparateBox("a", tmp_path / "a.receipts", BoxOptions())
    await box.start()
    try:
        await box.tell("pace 4 20000")
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{box.base_url}/v1/chat/completions", json=CHAT) as response,
        ):
            assert response.status == 200
        assert 0.9 < loop.time() - began < PATIENCE_SECONDS
    finally:
        await box.kill()


async def test_nothing_is_left_of_a_house(tmp_path: Path) -> None:
    """Not even of a box that is frozen, nor when the test fails."""
    others = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ZeroDivisionError):
        async with separate_boxes(tmp_path) as house:
            pids = {child.pid for child in psutil.Process().children()} - others
            await house.boxes["b"].freeze()
            raise ZeroDivisionError
    assert len(pids) >= 4
    assert not pids & {child.pid for child in psutil.Process().children()}
