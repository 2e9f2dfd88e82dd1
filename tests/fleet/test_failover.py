"""A box that fails before it answers is passed over for another one."""

from __future__ import annotations

import asyncio

import pytest

from tests.fleet.conftest import OpenBoxes
from tests.residency.house import LLM, OTHER


@pytest.mark.usefixtures("quick_greetings")
async def test_a_request_that_is_refused_goes_to_another_box(open_boxes: OpenBoxes) -> None:
    """The client notices nothing, and the model is loaded there if need be."""
    async with open_boxes("a", "b") as home:
        assert await home.box_of(home.ask(model=LLM)) == "a"
        await home.studios["a"].stop()
        assert await home.box_of(home.ask(model=LLM)) == "b"
        assert home.loaded("b") == [LLM]
        await home.becomes("a", "down")
        await home.restart_box("a")
        await home.becomes("a", "up")
        assert await home.box_of(home.ask(model=OTHER)) == "a"


async def test_a_dropped_connection_goes_to_another_box(open_boxes: OpenBoxes) -> None:
    """Before the first byte; the first box has no lease any more."""
    async with open_boxes("a", "b") as home:
        for box in "ab":
            home.load(box)
        assert await home.box_of(home.ask(model=LLM)) in {"a", "b"}
        home.studios["a"].door.close("http")
        home.studios["b"].door.close("http")
        failed = await home.answer(model=LLM)
        assert failed.status in {502, 503}
        home.studios["b"].door.open("http")
        assert await home.box_of(home.ask(model=LLM)) == "b"
        _, report = await home.call("GET", "/debug/queue")
        assert (report["running"], report["waiting"]) == ([], [])


@pytest.mark.usefixtures("quick_greetings")
async def test_a_box_that_goes_down_gives_back_what_has_no_byte(open_boxes: OpenBoxes) -> None:
    """A frozen box answers no greeting, and its requests go elsewhere."""
    async with open_boxes("a", "b") as home:
        home.load("a")
        home.paces["a"].stop("prompt")
        asked = home.ask(model=LLM)
        await home.paces["a"].reached("prompt")
        await home.studios["a"].stop()
        assert await home.box_of(asked) == "b"


@pytest.mark.usefixtures("quick_greetings")
async def test_nothing_is_sent_twice_after_a_byte(open_boxes: OpenBoxes) -> None:
    """The stream breaks off."""
    async with open_boxes("a", "b") as home:
        for box in "ab":
            home.load(box)
        home.paces["a"].stop("token")
        home.paces["b"].stop("token")
        asked = home.stream(model=LLM)
        await asked.begun()
        sent = {name: len(studio.requests) for name, studio in home.studios.items()}
        first = next(name for name in "ab" if home.studios[name].simulator.ledger.occupancy.running)
        other = next(name for name in "ab" if name != first)
        await home.studios[first].stop()
        answer = await asked.ended()
        assert answer.broke
        posts = [one for one in home.studios[other].requests[sent[other] :] if one.startswith("POST")]
        assert posts == []


@pytest.mark.usefixtures("quick_greetings")
async def test_a_bound_request_is_not_moved(open_boxes: OpenBoxes) -> None:
    """The response that it continues is on that box only."""
    async with open_boxes("a", "b") as home:
        for box in "ab":
            home.load(box)
        answer = await home.answer(model=LLM, path="/v1/responses", input="Hello", messages=None)
        began = (await home.until("inference_complete", requestId=answer.headers["X-Request-Id"]))["box"]
        await home.studios[str(began)].stop()
        refused = await home.answer(
            model=LLM,
            path="/v1/responses",
            input="More",
            messages=None,
            previous_response_id=answer.json["id"],
        )
        assert (refused.status, refused.code) == (503, "upstream_unavailable")


@pytest.mark.parametrize("tables", [{"queue": {"enabled": False}}, {"residency": {"enabled": False}}])
async def test_boxes_share_requests_without_a_line(open_boxes: OpenBoxes, tables: dict[str, object]) -> None:
    """LM Studio loads what is asked for; a box that refuses is passed over all the same."""
    async with open_boxes("a", "b", **tables) as home:
        answers = await asyncio.gather(*(home.ask(model=LLM).ended() for _ in range(8)))
        assert {answer.status for answer in answers} == {200}
        await home.studios["a"].stop()
        answers = await asyncio.gather(*(home.ask(model=LLM).ended() for _ in range(8)))
        assert {answer.status for answer in answers} == {200}
