"""Turns of the event loop: one piece of long work in each of its iterations."""

from __future__ import annotations

import asyncio

from lmgateway.turns import Turns


async def test_each_iteration_of_the_loop_has_one_piece() -> None:
    """However many requests have long work to do, they take turns, and everything else runs between them."""
    turns, log = Turns(), list[str]()
    is_over = False

    async def work(name: str) -> None:
        for _ in range(5):
            log.append(name)
            await turns.next()

    async def tick() -> None:
        while not is_over:
            log.append("-")
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await asyncio.gather(work("a"), work("b"), work("c"))
    is_over = True
    await ticking
    begun = log.index("c") + 1  # the first pieces need no turn
    pieces = "".join(log[begun:]).split("-")
    assert max(map(len, pieces)) == 1
    assert "".join(pieces[:-3]).replace("abc", "") in {"", "a", "ab"}


async def test_a_turn_that_is_cancelled_holds_up_nobody() -> None:
    turns = Turns()
    waiting = [asyncio.create_task(turns.next()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait_for(turns.next(), 5)
    await asyncio.wait_for(waiting[2], 5)
