"""Where requests go: by what is in memory, by free slots, by conversation, by what is on disk."""

from __future__ import annotations

import asyncio

import pytest

from tests.fleet.conftest import OpenBoxes
from tests.residency.house import LLM, OTHER, THIRD

RESPONSES = "/v1/responses"


async def test_each_model_is_loaded_where_there_is_room(open_boxes: OpenBoxes) -> None:
    """With room for one model each, three models are on three boxes, and none is unloaded."""
    async with open_boxes() as home:
        for model in (LLM, OTHER, THIRD):
            assert (await home.answer(model=model)).status == 200
        assert [home.loaded(box) for box in "abc"] == [[LLM], [OTHER], [THIRD]]
        assert await home.box_of(home.ask(model=THIRD)) == "c"


async def test_a_fourth_model_replaces_one_that_nobody_uses(open_boxes: OpenBoxes) -> None:
    """Not the one that is answering."""
    async with open_boxes("a", "b") as home:
        await home.answer(model=LLM)
        home.paces["b"].stop("token")
        busy = home.stream(model=OTHER)
        await busy.begun()
        assert (await home.answer(model=THIRD)).status == 200
        assert (home.loaded("a"), home.loaded("b")) == ([THIRD], [OTHER])
        home.paces["b"].go_on()
        assert (await busy.ended()).status == 200


async def test_a_second_copy_is_loaded_when_all_slots_are_taken(open_boxes: OpenBoxes) -> None:
    """Five requests of a model with four slots: the fifth runs on the other box."""
    async with open_boxes("a", "b") as home:
        await home.answer(model=LLM)
        home.paces["a"].stop("token")
        four = [home.stream(model=LLM) for _ in range(4)]
        for one in four:
            await one.begun()
        assert await home.box_of(home.ask(model=LLM)) == "b"
        home.paces["a"].go_on()
        assert [(await one.ended()).status for one in four] == [200] * 4


async def test_no_copy_takes_the_place_of_what_is_in_use(open_boxes: OpenBoxes) -> None:
    """The request waits for a slot instead."""
    async with open_boxes("a", "b") as home:
        await home.answer(model=LLM)
        await home.answer(model=OTHER)
        for box in "ab":
            home.paces[box].stop("token")
        running = [*(home.stream(model=LLM) for _ in range(4)), home.stream(model=OTHER)]
        for one in running:
            await one.begun()
        late = home.ask(model=LLM)
        waiting = await home.until("request_queued", times=1, reason="slot")
        assert waiting["model"] == LLM
        home.paces["a"].go_on()
        assert await home.box_of(late) == "a"
        assert home.loaded("b") == [OTHER]


async def test_a_conversation_stays_on_its_box(open_boxes: OpenBoxes) -> None:
    """Also where another box has less to do: the prompt is in the cache of the first."""
    async with open_boxes("a", "b", residency={"max_models": 2}) as home:
        home.load("a")
        home.load("b")
        first = [{"role": "user", "content": "Hello"}]
        began = await home.box_of(home.ask(model=LLM, messages=first))
        other = next(box for box in "ab" if box != began)
        home.paces[began].stop("token")
        later = [*first, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "More"}]
        turns = [home.stream(model=LLM, messages=messages) for messages in (first, later)]
        for turn in turns:
            await turn.begun()
        new = [{"role": "user", "content": "Something else"}]
        assert await home.box_of(home.ask(model=LLM, messages=new)) == other
        home.paces[began].go_on()
        assert [await home.box_of(turn) for turn in turns] == [began, began]


async def test_a_response_is_continued_where_it_is(open_boxes: OpenBoxes) -> None:
    """Also while that box drains, and though another one has less to do."""
    async with open_boxes("a", "b") as home:
        for box in "ab":
            home.load(box)
        answer = await home.answer(model=LLM, path=RESPONSES, input="Hello", messages=None)
        began = (await home.until("inference_complete", requestId=answer.headers["X-Request-Id"]))["box"]
        home.drain(began)
        follow = {"path": RESPONSES, "input": "More", "messages": None}
        continued = home.ask(model=LLM, previous_response_id=answer.json["id"], **follow)
        assert await home.box_of(continued) == began
        assert await home.box_of(home.ask(model=LLM)) != began


@pytest.mark.usefixtures("quick_greetings")
async def test_a_response_of_a_box_that_is_down_or_gone_is_a_503(open_boxes: OpenBoxes) -> None:
    """It can be continued nowhere else."""
    async with open_boxes("a", "b") as home:
        home.load("a")
        answer = await home.answer(model=LLM, path=RESPONSES, input="Hello", messages=None)
        follow = {"path": RESPONSES, "input": "More", "messages": None}
        follow["previous_response_id"] = answer.json["id"]
        await home.studios["a"].stop()
        await home.becomes("a", "down")
        refused = await home.answer(model=LLM, **follow)
        assert (refused.status, refused.code) == (503, "upstream_unavailable")
        home.configure("b")
        refused = await home.answer(model=LLM, **follow)
        assert (refused.status, refused.code) == (503, "upstream_unavailable")
        assert (await home.answer(model=LLM)).status == 200


async def test_a_drained_box_gets_nothing_new(open_boxes: OpenBoxes) -> None:
    """What runs there ends; `resume` brings it back."""
    async with open_boxes("a", "b") as home:
        home.load("a")
        home.paces["a"].stop("token")
        running = home.stream(model=LLM)
        await running.begun()
        home.drain("a")
        assert await home.box_of(home.ask(model=LLM)) == "b"
        home.paces["a"].go_on()
        assert (await running.ended()).status == 200
        home.drain("b")
        home.drain("a", False)
        assert await home.box_of(home.ask(model=LLM)) == "a"


async def test_pins_are_loaded_on_every_box(open_boxes: OpenBoxes) -> None:
    """A pinned model is at home wherever it is on disk."""
    async with open_boxes("a", "b", residency={"pin": [LLM]}) as home:
        await home.until("model_load_complete", times=2, modelKey=LLM)
        assert (home.loaded("a"), home.loaded("b")) == ([LLM], [LLM])


async def test_many_requests_use_all_boxes(open_boxes: OpenBoxes) -> None:
    """Twelve at once of a model with four slots run on three boxes at once."""
    async with open_boxes() as home:
        for box in "abc":
            home.load(box)
            home.paces[box].stop("token")
        asked = [home.stream(model=LLM) for _ in range(12)]
        await asyncio.gather(*(one.begun() for one in asked))
        for box in "abc":
            home.paces[box].go_on()
        found = [await home.box_of(one) for one in asked]
        assert {box: found.count(box) for box in "abc"} == {"a": 4, "b": 4, "c": 4}
