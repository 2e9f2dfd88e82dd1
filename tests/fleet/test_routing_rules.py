"""Where requests of each kind go: models of one box only, aliases, limited keys, embeddings, no model."""

from __future__ import annotations

import asyncio

import pytest

from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.residency.house import EMBEDDING, EMBEDDINGS, LARGE, LLM, OTHER, SIZES, THIRD

ONLY = "only-here-7b"


def about(number: int) -> list[dict[str, str]]:
    """Return the messages of a conversation of its own."""
    return [{"role": "user", "content": f"Question {number}"}]


async def boxes_of(home: Boxes, *models: str) -> list[str]:
    """Where requests for these models are answered, one after the other."""
    return [await home.box_of(home.ask(model=model)) for model in models]


async def test_a_model_that_one_box_has_on_disk_is_loaded_there(open_boxes: OpenBoxes) -> None:
    """Though another one has room, and this one must unload."""
    async with open_boxes("a", "b", disk={"b": [ONLY]}) as home:
        home.drain("a")
        assert await boxes_of(home, LLM) == ["b"]
        home.drain("a", False)
        assert await boxes_of(home, ONLY) == ["b"]
        assert (home.loaded("a"), home.loaded("b")) == ([], [ONLY])


async def test_a_model_that_no_box_has_is_a_404(open_boxes: OpenBoxes) -> None:
    """With near names of all boxes."""
    async with open_boxes("a", "b", disk={"b": [ONLY]}) as home:
        refused = await home.answer(model="only-here-7c")
        assert (refused.status, refused.code) == (404, "model_not_found")
        assert ONLY in refused.message


async def test_as_many_models_as_allowed_are_loaded_on_each_box(open_boxes: OpenBoxes) -> None:
    """Two boxes with room for two each have room for four."""
    async with open_boxes("a", "b", residency={"max_models": 2}) as home:
        await boxes_of(home, LLM, OTHER, THIRD, LARGE)
        assert sorted(home.loaded("a") + home.loaded("b")) == sorted([LLM, OTHER, THIRD, LARGE])
        assert len(home.loaded("a")) == 2


async def test_models_that_are_asked_for_at_once_are_loaded_at_once(open_boxes: OpenBoxes) -> None:
    """On a box each: none waits for the load of another."""
    async with open_boxes() as home:
        for box in "abc":
            home.paces[box].stop(*(f"load {model}" for model in (LLM, OTHER, THIRD)))
        asked = [home.ask(model=model) for model in (LLM, OTHER, THIRD)]
        await home.until("model_load_start", times=3)
        for box in "abc":
            home.paces[box].go_on()
        assert sorted([await home.box_of(one) for one in asked]) == ["a", "b", "c"]


async def test_what_waits_for_a_busy_box_moves_when_its_model_leaves(open_boxes: OpenBoxes) -> None:
    """The first box changes its model for a request that only it can run; the other has room."""
    at_once = {"switch_after_ms": 0, "swap_share": 0.99}
    async with open_boxes(
        "a", "b", disk={"a": [ONLY]}, residency=at_once, models={LLM: {"slots": 1}}
    ) as home:
        assert await boxes_of(home, LLM) == ["a"]
        home.drain("b")
        home.paces["a"].stop("token")
        running = home.stream(model=LLM)
        await running.begun()
        late = home.ask(model=ONLY)
        await home.until("model_drain_start")
        home.drain("b", False)
        assert await boxes_of(home, LLM) == ["b"]
        home.paces["a"].go_on()
        assert [await home.box_of(one) for one in (running, late)] == ["a", "a"]


async def test_an_alias_is_that_of_every_box(open_boxes: OpenBoxes) -> None:
    async with open_boxes("a", "b", models={LLM: {"aliases": ["gpt-*"]}}) as home:
        home.load("b")
        assert await boxes_of(home, "gpt-5", LLM) == ["b", "b"]


async def test_an_instance_of_another_name_is_used(open_boxes: OpenBoxes) -> None:
    """On the box that has it in memory under that name the body names it, on the other one the key."""
    async with open_boxes("a", "b") as home:
        home.studios["a"].simulator.load(LLM, "mine")
        home.load("b")
        home.expire("a")
        for box in "ab":
            home.paces[box].stop("token")
        asked = [home.stream(model=LLM, messages=about(number)) for number in range(4)]
        for one in asked:
            await one.begun()
        for box in "ab":
            home.paces[box].go_on()
        assert sorted([await home.box_of(one) for one in asked]) == ["a", "a", "b", "b"]
        assert await boxes_of(home, "mine") == ["a"]


async def test_a_limited_key_uses_its_models_on_all_boxes(open_boxes: OpenBoxes) -> None:
    """What one box has beside it stays closed to it, and is in no list of its own."""
    async with open_boxes("a", "b", disk={"b": [ONLY]}) as home:
        await home.know("ann", models=["only-*"])
        assert await home.box_of(home.ask("ann", ONLY)) == "b"
        refused = await home.answer("ann", LLM)
        assert refused.status in {403, 404}
        async with home.gateway.client.get(
            home.gateway.url("/v1/models"), headers=home.fields("ann")
        ) as response:
            assert [one["id"] for one in (await response.json())["data"]] == [ONLY]


async def test_embeddings_go_where_their_model_is(open_boxes: OpenBoxes) -> None:
    """Beside a chat model: each type has room of its own."""
    async with open_boxes("a", "b") as home:
        assert await boxes_of(home, LLM) == ["a"]
        home.load("b", EMBEDDING)
        for _ in range(3):
            assert await home.box_of(home.ask(model=EMBEDDING, path=EMBEDDINGS)) == "b"
        assert home.loaded("a") == [LLM]


@pytest.mark.usefixtures("quick_greetings")
async def test_what_names_no_model_goes_to_the_first_box_that_is_up(open_boxes: OpenBoxes) -> None:
    """Whatever is in memory there; nothing is loaded for it."""
    async with open_boxes("a", "b") as home:
        home.load("b", OTHER)
        refused = home.ask(model=None)
        assert await home.box_of(refused) == "a"
        assert home.loaded("a") == []
        home.load("a")
        answer = home.ask(model=None)
        assert await home.box_of(answer) == "a"
        assert answer.answer.json["model"] == LLM
        await home.studios["a"].stop()
        await home.becomes("a", "down")
        answer = home.ask(model=None)
        assert await home.box_of(answer) == "b"
        assert answer.answer.json["model"] == OTHER


async def test_where_memory_was_lacking_others_come_first(open_boxes: OpenBoxes) -> None:
    """A box that must unload for it, by number or for memory, comes after one with room."""
    room = SIZES[LARGE] + SIZES[OTHER]
    async with open_boxes("a", "b", memory_bytes=room, residency={"max_models": 3}) as home:
        home.drain("b")
        await boxes_of(home, LLM, THIRD)
        home.drain("b", False)
        assert await boxes_of(home, LARGE) == ["b"]
        assert (sorted(home.loaded("a")), home.loaded("b")) == (sorted([LLM, THIRD]), [LARGE])


async def test_a_copy_that_finds_no_memory_costs_nobody_an_answer(open_boxes: OpenBoxes) -> None:
    """The request waits for a slot of the first one, and what is in use elsewhere stays."""
    memory = SIZES[LARGE] + SIZES[OTHER]
    tables = {"residency": {"max_models": 3}, "models": {LARGE: {"slots": 1}}}
    async with open_boxes("a", "b", memory_bytes=memory, **tables) as home:
        assert await boxes_of(home, LARGE) == ["a"]
        home.paces["b"].stop("token")
        home.drain("a")
        busy = [home.stream(model=THIRD), home.stream(model=LLM)]
        for one in busy:
            await one.begun()
        home.drain("a", False)
        home.paces["a"].stop("token")
        first = home.stream(model=LARGE)
        await first.begun()
        late = home.ask(model=LARGE)
        await home.load_fails("b", LARGE)
        assert sorted(home.loaded("b")) == sorted([THIRD, LLM])
        home.paces["a"].go_on()
        assert await home.box_of(late) == "a"
        home.paces["b"].go_on()
        assert [(await one.ended()).status for one in (first, *busy)] == [200] * 3


async def test_a_load_that_fails_is_tried_on_another_box(open_boxes: OpenBoxes) -> None:
    """The request is refused only if no box can load its model."""
    async with open_boxes("a", "b") as home:
        home.studios["a"].simulator.load_faults.fail(LLM)
        assert await boxes_of(home, LLM) == ["b"]
        home.studios["b"].simulator.load_faults.fail(OTHER)
        home.studios["a"].simulator.load_faults.fail(OTHER)
        refused = await home.answer(model=OTHER)
        assert (refused.status, refused.code) == (503, "load_failed")


async def test_no_key_takes_all_slots_of_a_box(open_boxes: OpenBoxes) -> None:
    """A slot of each is left to another key that was there lately."""
    async with open_boxes("a", "b") as home:
        await home.know("ann", "bob")
        for box in "ab":
            home.load(box)
        assert (await home.answer("bob", LLM)).status == 200
        for box in "ab":
            home.paces[box].stop("token")
        anns = [home.stream("ann", LLM, messages=about(number)) for number in range(8)]
        await home.until("request_queued", times=2)
        bobs = [home.stream("bob", LLM, messages=about(number)) for number in range(2)]
        await asyncio.gather(*(one.begun() for one in bobs))
        for box in "ab":
            home.paces[box].go_on()
        assert sorted([await home.box_of(one) for one in bobs]) == ["a", "b"]
        assert {(await one.ended()).status for one in anns} == {200}
