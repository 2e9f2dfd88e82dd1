"""Boxes that are stopped, started, drained and taken away at random moments, under load."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from lmgateway.web.state import ACTIVITY, FLEET, SCHEDULER
from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.residency.house import AT_ONCE, CHAT, EMBEDDING, EMBEDDINGS, LLM, MESSAGES, OTHER, THIRD, Asked
from tests.support.waiting import until

PEOPLE, MODELS, NAMES = ["ann", "bob", "cem", "dan"], [LLM, OTHER, THIRD], "abc"
REQUESTS = 200
# What a client may get but an answer: each says why, in the gateway's words.
CODES = {"upstream_unavailable", "upstream_broke", "link_lost", "load_failed", "model_blocked"}


class Storm:
    """`ends` counts how the requests ended whose clients have stayed."""

    def __init__(self, home: Boxes, seed: int, changing: str, requests: int = REQUESTS) -> None:
        """`changing` are the boxes to which something happens."""
        self._home, self._changing, self._requests = home, changing, requests
        self._dice = random.Random(seed)
        self._open: list[Asked] = []
        self._stopped: set[str] = set()
        self._drained: set[str] = set()
        self.ends: Counter[str] = Counter()

    async def rage(self) -> None:
        for _ in range(self._requests):
            self._open.append(self._ask())
            await self._pass_turns()
            if self._dice.random() < 0.15:
                await self._change(self._dice.choice(self._changing))
            if self._dice.random() < 0.1:
                await self._any().leave()
            if self._dice.random() < 0.2:
                await self._take_in(self._any())
        await self.calm_down()
        while self._open:
            await self._take_in(self._any())

    async def calm_down(self) -> None:
        """Have all boxes up, in force and open."""
        self._home.configure(*NAMES)
        for name in NAMES:
            self._home.drain(name, False)
        for name in sorted(self._stopped):
            await self._home.restart_box(name)
        self._stopped.clear()

    async def _change(self, name: str) -> None:
        match self._dice.randrange(6):
            case 0 | 1 if name not in self._stopped:
                await self._home.studios[name].stop()
                self._stopped.add(name)
            case 0 | 1 | 2 | 3 if name in self._stopped:
                await self._home.restart_box(name)
                self._stopped.discard(name)
            case 4:
                is_draining = self._dice.random() < 0.4
                self._home.configure(*NAMES)
                self._home.drain(name, is_draining)
            case 5:
                self._home.configure(*(one for one in NAMES if one != name))

    def _any(self) -> Asked:
        if not self._open:
            self._open.append(self._ask())
        return self._open.pop(self._dice.randrange(len(self._open)))

    async def _pass_turns(self) -> None:
        if self._dice.random() < 0.2:  # as long as a greeting takes
            await asyncio.sleep(0.02)
        for _ in range(self._dice.randrange(8)):
            await asyncio.sleep(0)

    def _ask(self) -> Asked:
        pick = self._dice.choice
        if self._dice.random() < 0.1:
            return self._home.ask(pick(PEOPLE), EMBEDDING, EMBEDDINGS)
        stream, path = self._dice.random() < 0.6, pick([CHAT, CHAT, MESSAGES])
        messages = [{"role": "user", "content": f"Question {self._dice.randrange(9)}"}]
        return self._home.ask(pick(PEOPLE), pick(MODELS), path, stream=stream, messages=messages)

    async def _take_in(self, asked: Asked) -> None:
        answer = await asked.ended()
        if answer.broke:
            self.ends["broke"] += 1
            return
        self.ends[str(answer.status)] += 1
        if answer.status != 200:
            assert self._changing == NAMES, (answer.status, answer.body)
            assert answer.status in {502, 503}, (answer.status, answer.body)
            # On Anthropic's paths it is in a header.
            code = answer.headers.get("X-Refused-Reason") or answer.json["error"].get("code")
            assert code is None or code in CODES, answer.body
            assert len(answer.message) > 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again in a moment what has failed."""
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(f"lmgateway.scheduling.residency.failures.{name}", 0.05)
    monkeypatch.setattr("lmgateway.scheduling.residency.hopeless.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("lmgateway.boxes.second_looks.EVERY_SECONDS", 0.01)


@pytest.mark.usefixtures("quick_greetings", "impatient")
@pytest.mark.parametrize(
    ("seed", "changing", "requests"),
    [
        (0, "ab", 50),
        *(
            pytest.param(seed, changing, REQUESTS, marks=pytest.mark.long)
            for changing in ("ab", "abc")
            for seed in range(10)
        ),
    ],
)
async def test_every_request_ends_and_nothing_is_left(
    open_boxes: OpenBoxes, seed: int, changing: str, requests: int
) -> None:
    """With an answer if one box is always up, else maybe with an error that says why.

    Afterwards all boxes serve all models.
    """
    async with open_boxes(residency=AT_ONCE | {"max_models": 1 + seed % 2}) as home:
        await home.know(*PEOPLE)
        storm = Storm(home, seed, changing, requests)
        async with asyncio.timeout(60):
            await storm.rage()
        assert storm.ends["200"] > requests / 4, storm.ends
        for model in MODELS:
            async with asyncio.timeout(10):
                while (await home.answer(model=model)).status != 200:
                    await asyncio.sleep(0.02)
        await nothing_is_left(home)


async def nothing_is_left(home: Boxes) -> None:
    """No lease, waiter, load, swap or exchange, and no instance that no LM Studio has."""
    app = home.gateway.app
    scheduler = app[SCHEDULER]
    line = scheduler.line
    await until(lambda: not (line.waiting or line.running or line.lingering))
    for station in scheduler.stations:
        residency = station.residency
        await until(lambda one=residency: not (one.loads or one.swaps or one.drains))  # type: ignore[misc]
    await until(lambda: not app[ACTIVITY].running)
    for box in app[FLEET].boxes:
        await box.list_models()
    there = {(box, name) for box in NAMES for name in home.loaded(box)}
    await until(lambda: {tuple(one) for one in line.machines.instances} == there)
    assert {studio.simulator.ledger.occupancy.running for studio in home.studios.values()} == {0}
    _, report = await home.call("GET", "/debug/queue")
    assert (report["waiting"], report["running"], report["swap"]) == ([], [], None)
    line.accounts.advance(next(iter(scheduler.stations)).looks.next_look + 100)
    busy = line.accounts.busy_seconds
    line.accounts.advance(next(iter(scheduler.stations)).looks.next_look + 200)
    assert line.accounts.busy_seconds == busy
