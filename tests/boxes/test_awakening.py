"""Waiting for a machine to wake up."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.boxes.attendance import Attendance
from lmgateway.boxes.signs_of_life import SignsOfLife
from lmgateway.config import LMStudio
from tests.support.waiting import PATIENCE_SECONDS, until


class Machine:
    """It sleeps until `answers` is set, and `states` are what is told of it."""

    def __init__(self, **settings: object) -> None:
        self.answers, self.states = False, list[tuple[str, str]]()
        config = LMStudio(wake_mac="00:11:22:aa:bb:cc", wake_address="127.0.0.1:9", **settings)  # type: ignore[arg-type]
        self.attendance = Attendance(
            "attic",
            config,
            SignsOfLife(),
            self._greet,
            is_busy=lambda: False,
            on_change=lambda state, reason: self.states.append((state, reason)),
            on_rest=lambda _: None,
        )

    async def _greet(self) -> bool:
        return self.answers

    async def fall_asleep(self) -> None:
        """Let it be found to be down."""
        self.attendance.start()
        await until(lambda: self.attendance.state == "down")

    def awaken(self) -> asyncio.Task[bool]:
        return asyncio.create_task(self.attendance.awaken("a test needs it"))


async def ended(waking: asyncio.Task[bool]) -> bool:
    return await asyncio.wait_for(waking, PATIENCE_SECONDS)


@pytest.mark.parametrize("answers", [True, False])
async def test_it_ends_with_the_answer_or_the_time(answers: bool) -> None:
    machine = Machine(wake_timeout_ms=200 if not answers else 60_000)
    await machine.fall_asleep()
    machine.answers = answers
    assert await ended(machine.awaken()) == answers
    assert machine.states[1:] == [
        ("waking", "a test needs it"),
        ("up", "LM Studio answers") if answers else ("down", "LM Studio doesn't answer"),
    ]
    await machine.attendance.close()


async def test_it_ends_if_the_box_is_taken_away() -> None:
    """By a reload, or because the gateway stops: nothing would tell of an answer any more."""
    machine = Machine(wake_timeout_ms=0)  # no limit
    await machine.fall_asleep()
    waking = machine.awaken()
    await until(lambda: machine.attendance.state == "waking")
    await machine.attendance.close()
    assert not await ended(waking)
