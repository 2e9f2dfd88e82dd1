"""Everything at once, for long: people leave, loads fail, others interfere, and LM Studio is killed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from lmgateway.web.state import ACTIVITY, FLEET, SCHEDULER
from tests.residency.conftest import OpenHouse
from tests.residency.house import (
    AT_ONCE,
    CHAT,
    EMBEDDING,
    EMBEDDINGS,
    LLM,
    MESSAGES,
    OTHER,
    THIRD,
    Asked,
    House,
)
from tests.support.waiting import until

PEOPLE = ["ann", "bob", "cem", "dan", "eve"]
MODELS = [LLM, OTHER, THIRD]
REQUESTS, RESTARTS = 600, 5
# In LM Studio's words: others have unloaded what was to answer, before its answer or during it. Then LM
# Studio may load the model just in time, which may fail too.
BY_OTHERS = (b"Model unloaded", b"Model is unloaded", b"Invalid model identifier", b"Failed to load model ")


class LongStorm:
    """`ends` counts how the requests ended whose clients have stayed."""

    def __init__(self, house: House, seed: int) -> None:
        self._house = house
        self._dice = random.Random(seed)
        self._open: list[Asked] = []
        self.ends: Counter[str] = Counter()

    async def rage(self) -> None:
        restart_at = set(self._dice.sample(range(REQUESTS), RESTARTS))
        acts: list[tuple[float, Callable[[], None]]] = [
            (0.05, self._break_a_load),
            (0.05, self._load_as_others),
            (0.05, self._unload_as_others),
        ]
        for number in range(REQUESTS):
            self._open.append(self._ask())
            await self._pass_turns()
            for likelihood, act in acts:
                if self._dice.random() < likelihood:
                    act()
            if self._dice.random() < 0.3:
                await self._any().leave()
            if self._dice.random() < 0.15:
                await self._take_in(self._any())
            if number in restart_at:
                await self._house.restart()
        self._house.simulator.load_faults.clear()
        while self._open:
            await self._take_in(self._any())

    def _any(self) -> Asked:
        if not self._open:
            self._open.append(self._ask())
        return self._open.pop(self._dice.randrange(len(self._open)))

    async def _pass_turns(self) -> None:
        if self._dice.random() < 0.1:  # as long as a load takes
            await asyncio.sleep(0.02)
        for _ in range(self._dice.randrange(6)):
            await asyncio.sleep(0)

    def _ask(self) -> Asked:
        pick = self._dice.choice
        if self._dice.random() < 0.15:
            return self._house.ask(pick(PEOPLE), EMBEDDING, EMBEDDINGS)
        model = "made up" if self._dice.random() < 0.02 else pick([LLM, LLM, OTHER, THIRD])
        stream, path = self._dice.random() < 0.6, pick([CHAT, CHAT, MESSAGES])
        return self._house.ask(pick(PEOPLE), model, path, stream=stream)

    def _break_a_load(self) -> None:
        model = self._dice.choice([*MODELS, EMBEDDING])
        self._house.simulator.load_faults.fail(model, times=1, at=self._dice.random())

    def _load_as_others(self) -> None:
        model = self._dice.choice(MODELS)
        self._house.simulator.load(model, f"theirs {self._dice.random()}")

    def _unload_as_others(self) -> None:
        instances = self._house.simulator.memory.instances()
        if instances:
            self._house.simulator.memory.unload(self._dice.choice(instances).identifier)

    async def _take_in(self, asked: Asked) -> None:
        answer = await asked.ended()
        if answer.broke:
            self.ends["broke"] += 1
        elif any(words in answer.body for words in BY_OTHERS):
            self.ends["cut off by others"] += 1
        else:
            assert answer.status in {200, 404, 502, 503}, (answer.status, answer.body)
            self.ends[str(answer.status)] += 1


def tasks() -> Counter[str]:
    """The names of the coroutines that run."""
    return Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())


@pytest.mark.long
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("seed", range(6))
async def test_everything_at_once(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Every request ends; the gateway cuts off nothing, and afterwards nothing is left of the storm."""
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(f"lmgateway.scheduling.residency.failures.{name}", 0.05)
    monkeypatch.setattr("lmgateway.boxes.second_looks.EVERY_SECONDS", 0.01)
    async with open_house(residency=AT_ONCE | {"max_models": 1 + seed % 2}) as house:
        await house.know(*PEOPLE)
        for model in (*MODELS, EMBEDDING):
            path = EMBEDDINGS if model == EMBEDDING else CHAT
            assert (await house.answer(model=model, path=path)).status == 200
        before = tasks()
        storm = LongStorm(house, seed)
        async with asyncio.timeout(90):
            await storm.rage()
        assert storm.ends["200"] > REQUESTS / 5, storm.ends
        for model in MODELS:
            async with asyncio.timeout(20):
                while (await house.answer(model=model)).status != 200:
                    await asyncio.sleep(0.02)
        by_gateway = [one for one in house.ledger.unloads if one.unloaded_by == "sdk"]
        assert {one.busy + one.queued for one in by_gateway} <= {0}
        assert {one.loaded_by for one in by_gateway} <= {"sdk"}
        await nothing_is_left(house)
        await until(lambda: not tasks() - before)


async def nothing_is_left(house: House) -> None:
    """No lease, waiter, load, swap or exchange, and no instance that LM Studio doesn't have."""
    app = house.gateway.app
    scheduler, box = app[SCHEDULER], app[FLEET].boxes.main
    line, residency = scheduler.line, next(iter(scheduler.stations)).residency
    await until(lambda: not (line.waiting or line.running or line.lingering))
    await until(lambda: not (residency.loads or residency.swaps or residency.drains))
    await until(lambda: not app[ACTIVITY].running)
    await box.list_models()
    await until(lambda: {name.name for name in line.machines.instances} == set(house.in_memory))
    assert house.ledger.occupancy.running == 0
    _, report = await house.call("GET", "/debug/queue")
    assert (report["waiting"], report["running"], report["swap"]) == ([], [], None)
