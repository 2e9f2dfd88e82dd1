"""Everybody does anything at any time: whatever happens, no load cuts off an answer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.residency.conftest import OpenHouse
from tests.residency.house import AT_ONCE, EMBEDDING, EMBEDDINGS, LLM, OTHER, THIRD, Asked, House
from tests.support.waiting import PATIENCE_SECONDS

PEOPLE = ["ann", "bob", "cem", "dan", "eve"]
REQUESTS = 150
# What a request may end with: an answer, or a refusal that says why.
ENDS = {200, 503}
# In LM Studio's words: others have unloaded the instance that was to answer, before its answer or during it.
BY_OTHERS = (b"Model unloaded", b'Invalid model identifier \\"theirs')


class Storm:
    """Requests of all kinds, some of whose clients leave, and others who load and unload models."""

    def __init__(self, house: House, seed: int) -> None:
        self._house = house
        self._random = random.Random(seed)

    async def run(self, *, others: bool) -> list[Asked]:
        """Return the requests whose clients have stayed."""
        stayed: list[Asked] = []
        for _ in range(REQUESTS):
            asked = self._ask()
            stayed.append(asked)
            for _ in range(self._random.randrange(4)):
                await asyncio.sleep(0)
            if self._random.random() < 0.1:
                left = stayed.pop(self._random.randrange(len(stayed)))
                await left.leave()
            if others and self._random.random() < 0.1:
                self._interfere()
            if stayed and self._random.random() < 0.2:
                await self._random.choice(stayed).ended()
        return stayed

    def _ask(self) -> Asked:
        pick = self._random.choice
        if self._random.random() < 0.2:
            return self._house.ask(pick(PEOPLE), EMBEDDING, EMBEDDINGS)
        stream = self._random.random() < 0.5
        return self._house.ask(pick(PEOPLE), pick([LLM, LLM, OTHER, THIRD]), stream=stream)

    def _interfere(self) -> None:
        """Load a model, or unload one, as LM Studio's window does."""
        simulator, pick = self._house.simulator, self._random.choice
        instances = simulator.memory.instances()
        if instances and self._random.random() < 0.5:
            simulator.memory.unload(pick(instances).identifier)
        else:
            simulator.load(pick([LLM, OTHER, THIRD]), f"theirs {self._random.random()}")


def most_at_once(house: House) -> int:
    """How many of the gateway's text models were in memory at once."""
    ledger = house.ledger
    loads = [one for one in ledger.loads if one.outcome == "loaded"]
    changes = [(one.ended_at, 1) for one in loads if (one.loaded_by, one.model != EMBEDDING) == ("sdk", True)]
    changes += [
        (one.at, -1) for one in ledger.unloads if (one.loaded_by, one.model != EMBEDDING) == ("sdk", True)
    ]
    count = most = 0
    for _, change in sorted(changes):
        count += change
        most = max(most, count)
    return most


async def calm(house: House) -> None:
    """Nothing is left of it in the line: the slots of clients that have left are counted within 2 s, too."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            _, report = await house.call("GET", "/debug/queue")
            if not any(one["phase"] == "lingering" for one in report["running"]):
                break
            await asyncio.sleep(0.02)
    assert (report["waiting"], report["running"], report["swap"]) == ([], [], None)
    assert house.ledger.occupancy.running == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("max_models", [1, 2])
async def test_requests_for_everything(open_house: OpenHouse, max_models: int, seed: int) -> None:
    """Each is answered, and only the gateway loads."""
    residency = AT_ONCE | {"max_models": max_models}
    async with open_house(residency=residency) as house:
        await house.know(*PEOPLE)
        ends = Counter[int]()
        for asked in await Storm(house, seed).run(others=False):
            answer = await asked.ended()
            assert not answer.broke
            ends[answer.status] += 1
        assert {*ends} == {200}
        assert {busy for _, _, busy in house.unloads} <= {0}
        assert {(how, by) for _, how, by in house.loads} == {("loaded", "sdk")}
        assert most_at_once(house) <= max_models
        await calm(house)


@pytest.mark.parametrize("seed", range(3))
async def test_others_interfere(open_house: OpenHouse, seed: int) -> None:
    """Only they cut off answers, and every request ends."""
    async with open_house(residency=AT_ONCE) as house:
        await house.know(*PEOPLE)
        for asked in await Storm(house, seed).run(others=True):
            answer = await asked.ended()
            assert answer.status in ENDS or any(words in answer.body for words in BY_OTHERS), answer.body
        by_gateway = [one for one in house.ledger.unloads if one.unloaded_by == "sdk"]
        assert {one.busy + one.queued for one in by_gateway} <= {0}
        assert {one.loaded_by for one in by_gateway} <= {"sdk"}
        await calm(house)


@pytest.mark.parametrize("seed", range(3))
async def test_loads_fail_at_random(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Every request ends, and all is well when loads succeed again."""
    monkeypatch.setattr("lmgateway.scheduling.residency.failures.FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("lmgateway.scheduling.residency.failures.LONGEST_PAUSE_SECONDS", 0.05)
    async with open_house(residency=AT_ONCE) as house:
        await house.know(*PEOPLE)
        faults = house.simulator.load_faults
        dice = random.Random(seed)
        for _ in range(10):
            faults.fail(dice.choice([LLM, OTHER, THIRD, EMBEDDING]), times=1, at=dice.random())
        for asked in await Storm(house, seed).run(others=False):
            answer = await asked.ended()
            assert answer.status in ENDS, answer.body
            assert not answer.broke
        faults.clear()
        await calm(house)
        async with asyncio.timeout(10):
            while (await house.answer(model=LLM)).status != 200:
                await asyncio.sleep(0.01)
        assert {busy for _, _, busy in house.unloads} <= {0}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("seed", range(3))
async def test_lm_studio_is_started_again_and_again(open_house: OpenHouse, seed: int) -> None:
    """Every request ends, and afterwards all models are served, one at a time."""
    async with open_house(residency=AT_ONCE) as house:
        await house.know(*PEOPLE)
        storm = Storm(house, seed)
        running = asyncio.create_task(storm.run(others=False))
        for _ in range(4):
            await house.happens(lambda ledger: ledger.total.begun >= 10)
            await house.restart()
        for asked in await asyncio.wait_for(running, 60):
            answer = await asked.ended()
            assert answer.broke or answer.status in ENDS | {502}, answer.body
        for model in (LLM, OTHER, THIRD):
            assert (await house.answer(model=model)).status == 200
        assert {busy for _, _, busy in house.unloads} <= {0}
        # What was on its way when LM Studio was started again may find the new one, which loads by itself.
        by = [by for _, _, by in house.loads]
        assert "jit" not in by[by.index("sdk") :]
        assert most_at_once(house) == 1
        await calm(house)
