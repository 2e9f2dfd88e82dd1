"""A request that one box fails before it answers goes to another: what stays the same for its client."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.fleet.boxes import Boxes
from tests.fleet.conftest import OpenBoxes
from tests.residency.house import CHAT, EMBEDDING, EMBEDDINGS, LLM, MESSAGES
from tests.support.raw_server import raw_server
from tests.support.scripted_box import lm_studio
from tests.support.upstream import Received, ScriptedUpstream, answer

DONE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
MODELS = {"object": "list", "data": [{"id": "other-7b", "object": "model"}]}
TOOLS = [{"type": "mcp", "server_label": "files", "server_url": "http://127.0.0.1:9/"}]


async def queue(home: Boxes) -> dict[str, list[dict[str, object]]]:
    _, report = await home.call("GET", "/debug/queue")
    return {name: report[name] for name in ("running", "waiting")}


@pytest.mark.parametrize(
    ("path", "model", "members"),
    [
        pytest.param(CHAT, LLM, {}, id="chat"),
        pytest.param(CHAT, LLM, {"stream": True}, id="stream"),
        pytest.param("/v1/completions", LLM, {"prompt": "Hi", "messages": None}, id="completion"),
        pytest.param("/v1/responses", LLM, {"input": "Hi", "messages": None}, id="response"),
        pytest.param("/api/v1/chat", LLM, {"input": "Hi", "messages": None, "max_tokens": None}, id="native"),
        pytest.param(MESSAGES, LLM, {}, id="message"),
        pytest.param(EMBEDDINGS, EMBEDDING, {}, id="embedding"),
        pytest.param(CHAT, None, {}, id="no model"),
        pytest.param(CHAT, LLM, {"tools": TOOLS}, id="tools of the client"),
        pytest.param("/v1/responses", LLM, {"input": "Hi", "messages": None, "tools": TOOLS}, id="MCP"),
    ],
)
async def test_what_could_not_be_sent_goes_to_another_box(
    path: str, model: str | None, members: dict[str, object], open_boxes: OpenBoxes
) -> None:
    """On each generating and embedding path. The record names the box that has answered."""
    async with open_boxes("a", "b") as home:
        for box in "ab":
            home.load(box, model or LLM)
        members = {"max_tokens": 5, **members} if path != EMBEDDINGS else members
        body = {name: value for name, value in members.items() if value is not None}
        drop = {name: None for name in members if members[name] is None}
        await home.studios["a"].stop()
        asked = await ask(home, path, model, body, drop)
        assert asked == (200, "b")


async def ask(
    home: Boxes, path: str, model: str | None, body: dict[str, object], drop: dict[str, None]
) -> tuple[int, str]:
    """Return the status of an answer, and the box in its record."""
    usual: dict[str, object] = {"messages": [{"role": "user", "content": "Hello"}]}
    usual = {"input": "Hello"} if path == EMBEDDINGS else usual
    sent = {**usual, **body, **({} if model is None else {"model": model})}
    sent = {name: value for name, value in sent.items() if name not in drop}
    url, fields = home.gateway.url(path), home.fields("owner")
    async with home.gateway.client.post(url, json=sent, headers=fields) as response:
        await response.read()
        return response.status, str((await home.until("inference_complete"))["box"])


async def test_the_first_boxs_slot_is_given_back_at_once(open_boxes: OpenBoxes) -> None:
    """While the other box still answers, the request is in one place only."""
    async with open_boxes("a", "b") as home:
        for box in "ab":
            home.load(box)
            home.paces[box].stop("token")
        await home.studios["a"].stop()
        asked = home.stream(model=LLM)
        await asked.begun()
        assert [(one["model"], one["box"]) for one in (await queue(home))["running"]] == [(LLM, "b")]
        home.paces["b"].go_on()
        assert await home.box_of(asked) == "b"
        assert await queue(home) == {"running": [], "waiting": []}


async def test_each_box_is_tried_once(open_boxes: OpenBoxes) -> None:
    """The client gets the error of the last one."""
    async with open_boxes() as home:
        for box in "abc":
            home.load(box)
        assert (await home.answer(model=LLM)).status == 200
        for box in "abc":
            home.studios[box].door.close("http")
        before = {box: home.studios[box].door.refused for box in "abc"}
        failed = await home.answer(model=LLM)
        assert (failed.status, failed.code) == (502, "upstream_broke")
        posts = {box: home.studios[box].door.posts(CHAT) for box in "abc"}
        assert posts == {"a": 1, "b": 1, "c": 1}, before
        assert await queue(home) == {"running": [], "waiting": []}


@pytest.mark.usefixtures("quick_greetings")
async def test_keep_alives_go_on_while_the_other_box_loads(open_boxes: OpenBoxes) -> None:
    """Then the answer follows, in the same stream."""
    async with open_boxes("a", "b", queue={"keepalive_ms": 20}) as home:
        assert await home.box_of(home.ask(model=LLM)) == "a"
        home.paces["b"].stop(f"load {LLM}")
        await home.studios["a"].stop()
        asked = home.stream(model=LLM)
        await home.paces["b"].reached(f"load {LLM}")
        await asked.begun()
        assert (asked.answer.status, asked.answer.body[:1]) == (200, b":")
        home.paces["b"].go_on()
        ended = await asked.ended()
        assert ended.body.endswith(b"data: [DONE]\n\n")
        assert not ended.broke
        assert await home.box_of(asked) == "b"


async def test_a_failure_after_a_keep_alive_is_an_event(open_boxes: OpenBoxes) -> None:
    """The last box's error, in the stream that has begun."""
    async with open_boxes("a", "b", queue={"keepalive_ms": 20}) as home:
        for box in "ab":
            home.load(box)
            home.paces[box].stop("prompt")
        asked = home.stream(model=LLM)
        await asked.begun()
        for box in "ab":
            home.studios[box].door.close("http")
        ended = await asked.ended()
        assert b'"upstream_broke"' in ended.body
        assert b"[DONE]" not in ended.body
        assert ended.broke


@pytest.mark.usefixtures("quick_greetings")
async def test_a_frozen_box_is_passed_over(open_boxes: OpenBoxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the connection, and answers no greeting. What runs tools isn't sent again, nor moved."""
    frozen, thawed = asyncio.Event(), asyncio.Event()

    async def silent(*_: object) -> None:
        await thawed.wait()

    usual = lm_studio(silent, LLM)

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if frozen.is_set():
            await thawed.wait()
        await usual(request, reader, writer)

    box = ScriptedUpstream(script)
    monkeypatch.setattr("lmgateway.boxes.box.GREETING_SECONDS", 0.1)
    async with (
        raw_server(box.serve_connection) as box.port,
        open_boxes("b", others={"a": box.base_url}) as home,
    ):
        home.drain("b")
        asked = home.ask(model=LLM)
        tools = home.ask(model=LLM, path="/v1/responses", input="Hi", messages=None, tools=TOOLS)
        while len(box.posts) < 2:
            await box.arrivals.get()
        home.drain("b", False)
        frozen.set()
        assert await home.box_of(asked) == "b"
        refused = await tools.ended()
        assert (refused.status, refused.code) == (503, "upstream_unavailable")
        assert await home.state("a") == "down"
        thawed.set()


@pytest.mark.parametrize("tables", [{}, {"queue": {"enabled": False}}, {"residency": {"enabled": False}}])
async def test_a_server_that_is_not_lm_studio_is_a_box_too(
    tables: dict[str, object], open_boxes: OpenBoxes
) -> None:
    """Beside one that is: each gets the requests for its models."""
    served = {"/v1/models": MODELS, CHAT: DONE}

    async def serve(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        known = served.get(request.target)
        body = json.dumps(known or {"error": "not found"}).encode()
        await answer(body, status="200 OK" if known else "404 Not Found")(request, reader, writer)

    server = ScriptedUpstream(serve)
    async with (
        raw_server(server.serve_connection) as server.port,
        open_boxes("a", others={"server": server.base_url}, **tables) as home,
    ):
        assert await home.box_of(home.ask(model=LLM)) == "a"
        asked = home.ask(model="other-7b")
        assert (await home.box_of(asked), asked.answer.status) == ("server", 200)
        assert home.loaded("a") == [LLM]


@pytest.mark.parametrize("tables", [{"queue": {"enabled": False}}, {"residency": {"enabled": False}}])
async def test_an_unknown_name_is_sent_to_each_box_once(
    tables: dict[str, object], open_boxes: OpenBoxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where LM Studio decides what answers; none is asked again and again."""
    monkeypatch.setattr("lmgateway.scheduling.looks.PRESENCE_SECONDS", 0.1)
    async with open_boxes("a", "b", **tables) as home:
        for box in "ab":
            home.studios[box].door.close("http")
        failed = await home.answer(model="unheard of")
        assert failed.status in {502, 503}
        assert [home.studios[box].door.posts(CHAT) for box in "ab"] == [1, 1]


async def test_what_waits_for_a_slot_of_a_box_that_fails_runs_elsewhere(open_boxes: OpenBoxes) -> None:
    """Its list is read again; then the box is down."""
    async with open_boxes("a", "b", models={LLM: {"slots": 1}}) as home:
        home.drain("b")
        assert await home.box_of(home.ask(model=LLM)) == "a"
        home.paces["a"].stop("token")
        first = home.stream(model=LLM)
        await first.begun()
        waiting = [home.ask(model=LLM) for _ in range(3)]
        await home.until("request_queued", times=3)
        home.drain("b", False)
        await home.studios["a"].stop()
        assert [await home.box_of(one) for one in waiting] == ["b", "b", "b"]
        assert (await first.ended()).broke
