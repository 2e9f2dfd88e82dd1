"""Three boxes do three times the work, keep conversations together, and lose no request when one fails."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fleet.mixed_load import LONGEST_SECONDS, SILENCE_SECONDS, MixedLoad, Outcome
from tests.support.separate_boxes import (
    EMBEDDING,
    LLM,
    BoxOptions,
    SeparateBox,
    SeparateBoxes,
    separate_boxes,
    three_boxes,
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals"),
]

BOTH = (LLM, EMBEDDING)
# A machine with two cores isn't the bound of three boxes: 240 tokens a second in all.
TOKENS, PACE, SLOTS = 10, 20.0, 4
AT_ONCE = 36


async def test_three_boxes_do_nearly_three_times_the_work_of_one(tmp_path: Path) -> None:
    """At least 2.7 times, of streams, plain answers and embeddings."""
    rates = {}
    for names in (("a",), ("a", "b", "c")):
        folder = tmp_path / str(len(names))
        folder.mkdir()
        async with separate_boxes(folder, BoxOptions(BOTH, SLOTS, PACE), names=names) as house:
            load = MixedLoad(house, TOKENS)
            rates[len(names)] = await load.throughput(AT_ONCE, warm_up=3, seconds=15)
        assert {one.problem for one in load.outcomes} == {None}
    assert rates[3] >= 2.7 * rates[1], rates


async def test_a_conversation_stays_on_its_box(tmp_path: Path) -> None:
    """At least 95 % of later turns, while the box has a slot. Here each always has."""
    conversations, turns, at_once = 18, 5, 6
    async with three_boxes(tmp_path, slots=at_once + 1) as house:
        room = asyncio.Semaphore(at_once)

        async def converse(number: int) -> None:
            messages = []
            for turn in range(turns):
                messages.append({"role": "user", "content": f"Conversation {number}, turn {turn}."})
                async with room:
                    answer = await chat(house, messages, f"{number}-{turn}")
                messages.append({"role": "assistant", "content": answer})

        await asyncio.gather(*map(converse, range(conversations)))
        places = [
            [house.boxes_of(f"{number}-{turn}") for turn in range(turns)] for number in range(conversations)
        ]
    assert {len(place) for each in places for place in each} == {1}
    pairs = [(before, after) for each in places for before, after in pairwise(each)]
    assert sum(before == after for before, after in pairs) >= 0.95 * len(pairs), places
    assert {place[0] for each in places for place in each} == {"a", "b", "c"}


async def chat(house: SeparateBoxes, messages: list[dict[str, str]], request_id: str) -> str:
    body = {"model": LLM, "messages": messages, "max_tokens": 20}
    headers = {"X-Request-Id": request_id}
    url = f"{house.gateway.base_url}/v1/chat/completions"
    async with house.client.post(url, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["choices"][0]["message"]["content"])


Fault = Callable[[SeparateBox], Awaitable[None]]
# How the box b fails while it answers.
FAULTS: dict[str, Fault] = {
    "kill -9": SeparateBox.kill,
    "SIGSTOP": SeparateBox.freeze,
    "refuses": lambda box: box.tell("refuse"),
    "drops": lambda box: box.tell("drop"),
    "slow": lambda box: box.tell("pace 2 200"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_box_that_fails_under_load_costs_only_what_it_had_begun_to_answer(
    fault: str, tmp_path: Path
) -> None:
    """What got no byte goes to another box, what got one isn't sent again, and nothing hangs."""
    silence = [f"proxy.stream_timeout_ms={SILENCE_SECONDS * 1000}"]
    async with separate_boxes(tmp_path, BoxOptions(BOTH, SLOTS, PACE), settings=silence) as house:
        load, failing = MixedLoad(house, TOKENS), house.boxes["b"]
        await load.run(180, AT_ONCE, midway=lambda: FAULTS[fault](failing))
        answered = {one.request_id for one in failing.receipts() if one.event == "answering"}
        received = {name: len(box.requests()) for name, box in house.boxes.items()}
    problems = {one.request_id: one.problem for one in load.outcomes if one.problem is not None}
    assert "hangs" not in problems.values(), problems
    assert max(one.seconds for one in load.outcomes) < LONGEST_SECONDS
    lost = {name: problem for name, problem in problems.items() if name not in answered}
    assert lost == {}
    if fault == "slow":
        assert problems == {}
    assert [one.request_id for one in load.outcomes if was_sent_again(one, house)] == []
    assert all(received.values()), received
    assert len(load.outcomes) == 180


def was_sent_again(outcome: Outcome, house: SeparateBoxes) -> bool:
    """Whether a box received the request when its client had a byte of the answer already."""
    return outcome.first_byte_at is not None and any(
        one.at > outcome.first_byte_at
        for box in house.boxes.values()
        for one in box.requests()
        if one.request_id == outcome.request_id
    )


async def test_a_box_that_returns_gets_requests_again(tmp_path: Path) -> None:
    """After its process was killed and started anew, which is noticed within 5 s."""
    async with three_boxes(tmp_path, models=BOTH, slots=SLOTS, tokens_per_second=PACE) as house:
        load, box = MixedLoad(house, TOKENS), house.boxes["b"]
        await load.run(30, AT_ONCE, midway=box.kill)
        before = len(box.requests())
        await box.start()
        await load.run(180, AT_ONCE)
        assert len(box.requests()) > before
