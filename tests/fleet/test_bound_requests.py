"""Requests that continue a response go to the box that has it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.residency.house import LLM, OTHER, Answer, Asked

RESPONSES = "/v1/responses"


def respond(home: Boxes, who: str = "owner", model: str | None = LLM, **members: Any) -> Asked:
    return home.ask(who, model, RESPONSES, input="Hello", messages=None, **members)


async def first(home: Boxes, box: str, who: str = "owner") -> Answer:
    """Have a box answer the first request of a conversation."""
    for other in home.studios:
        if other != box:
            home.drain(other)
    asked = respond(home, who)
    assert await home.box_of(asked) == box
    for other in home.studios:
        home.drain(other, False)
    return asked.answer


async def test_its_model_is_loaded_there(open_boxes: OpenBoxes) -> None:
    """Though another box has it in memory."""
    async with open_boxes("a", "b") as home:
        previous = (await first(home, "b")).json["id"]
        home.load("a")
        home.studios["b"].simulator.memory.unload(LLM)
        home.studios["b"].simulator.load(OTHER)
        home.expire("b")
        assert await home.box_of(respond(home, previous_response_id=previous)) == "b"
        assert LLM in home.loaded("b")


async def test_another_keys_response_is_unknown(open_boxes: OpenBoxes) -> None:
    """On whichever box it is; an id that nobody got goes on as it is."""
    async with open_boxes("a", "b") as home:
        await home.know("ann", "bob")
        previous = (await first(home, "b", "ann")).json["id"]
        refused = await respond(home, "bob", previous_response_id=previous).ended()
        assert (refused.status, refused.code) == (404, "previous_response_not_found")
        assert await home.box_of(respond(home, "ann", previous_response_id=previous)) == "b"
        unknown = respond(home, "bob", previous_response_id="resp_" + 48 * "0")
        assert await home.box_of(unknown) in {"a", "b"}


async def test_it_waits_for_a_slot_there(open_boxes: OpenBoxes) -> None:
    """It takes no free one elsewhere, and no copy of its model is loaded for it."""
    async with open_boxes("a", "b", models={LLM: {"slots": 1}}) as home:
        previous = (await first(home, "b")).json["id"]
        home.paces["b"].stop("token")
        busy = home.stream(model=LLM)
        await busy.begun()
        late = respond(home, previous_response_id=previous)
        await home.until("request_queued", reason="slot")
        assert home.loaded("a") == []
        home.paces["b"].go_on()
        assert await home.box_of(late) == "b"
        assert await home.box_of(busy) == "b"


async def test_what_waits_for_a_box_that_a_reload_takes_away_is_refused(open_boxes: OpenBoxes) -> None:
    """Also if only one is left, which nobody chooses from."""
    async with open_boxes("a", "b", models={LLM: {"slots": 1}}) as home:
        previous = (await first(home, "a")).json["id"]
        home.paces["a"].stop("token")
        busy = home.stream(model=LLM)
        await busy.begun()
        late = respond(home, previous_response_id=previous)
        await home.until("request_queued", reason="slot")
        home.configure("b")
        refused = await late.ended()
        assert (refused.status, refused.code) == (503, "upstream_unavailable")
        home.paces["a"].go_on()
        assert await home.box_of(busy) == "a"


async def test_a_box_with_another_address_is_another_box(open_boxes: OpenBoxes) -> None:
    """It doesn't have the response, whatever its name is."""
    async with open_boxes("a", "b", "c") as home:
        previous = (await first(home, "a")).json["id"]
        home.configure("b", a=home.studios["c"].base_url)
        refused = await respond(home, previous_response_id=previous).ended()
        assert (refused.status, refused.code) == (503, "upstream_unavailable")
        fresh = await respond(home).ended()
        assert fresh.status == 200
        assert (await respond(home, previous_response_id=fresh.json["id"]).ended()).status == 200


@pytest.mark.usefixtures("quick_greetings")
async def test_a_box_that_was_started_again_is_asked(open_boxes: OpenBoxes) -> None:
    """It may have kept its responses: LM Studio decides."""
    async with open_boxes("a", "b") as home:
        previous = (await first(home, "a")).json["id"]
        await home.restart_box("a")
        answer = await respond(home, previous_response_id=previous).ended()
        assert answer.status != 503
        seen = await home.until("inference_complete", requestId=answer.headers["X-Request-Id"])
        assert seen["box"] == "a"
