"""Generations that are aborted by a client or by an unload; and how a simulator ends."""

import asyncio
import json
import time
from contextlib import AsyncExitStack

import aiohttp
import pytest

from lmgateway.simulator import Pace, Simulator, serve
from tests.support.gate import Gate

from .conftest import LLM, Socket, ask


@pytest.fixture
def held(simulator: Simulator) -> Gate:
    """Generations wait after their first token."""
    simulator.load(LLM)
    simulator.pace = gate = Gate(holds="token")
    return gate


async def fetch(http: aiohttp.ClientSession, path: str, body: object) -> int:
    async with http.post(path, json=body) as response:
        await response.read()
        return response.status


PATHS = {
    "/v1/chat/completions": {},
    "/v1/completions": {"prompt": "Once"},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {},
    "/api/v0/chat/completions": {},
    "/api/v1/chat": {"input": "Hello"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_hanging_up_stops_the_model(
    simulator: Simulator, http: aiohttp.ClientSession, held: Gate, path: str, stream: bool
):
    """A client that leaves aborts its generation, whether or not it is streamed."""
    request = asyncio.create_task(fetch(http, path, ask(stream=stream) | PATHS[path]))
    await asyncio.wait_for(held.reached.wait(), 5)
    request.cancel()
    await asyncio.wait_for(simulator.ledger.wait(begun=1, aborted=1), 5)
    assert simulator.ledger.total.finished == 0
    assert simulator.memory.instances()[0].processing_state() == {"status": "idle", "queued": 0}


async def test_hanging_up_while_the_prompt_is_read(simulator: Simulator, http: aiohttp.ClientSession):
    """Leaving before the first token counts as well, though the prompt is finished first."""
    simulator.load(LLM)
    simulator.pace = gate = Gate(holds="prompt")
    request = asyncio.create_task(fetch(http, "/v1/chat/completions", ask(stream=True)))
    await asyncio.wait_for(gate.reached.wait(), 5)
    assert simulator.memory.instances()[0].processing_state()["status"] == "processingPrompt"
    request.cancel()
    await asyncio.wait_for(simulator.ledger.wait(left=1), 5)
    gate.opened.set()
    await asyncio.wait_for(simulator.ledger.wait(aborted=1), 5)


async def test_the_ledger_has_the_time_of_an_abort(
    simulator: Simulator, http: aiohttp.ClientSession, held: Gate
):
    """Another process can measure how long an abort took."""
    async with http.post("/v1/chat/completions", json=ask(stream=True)):
        await asyncio.wait_for(held.reached.wait(), 5)
        left = time.monotonic()
    await asyncio.wait_for(simulator.ledger.wait(aborted=1), 5)
    async with http.get("/simulator/ledger") as response:
        books = await response.json()
    assert books["total"]["aborted"] == 1
    assert books["apis"]["chat/completions"] == books["total"]
    assert books["aborts"][0]["api"] == "chat/completions"
    assert left <= books["aborts"][0]["left_at"] <= books["aborts"][0]["at"] <= time.monotonic()


async def test_the_ledger_has_the_instances(simulator: Simulator, http: aiohttp.ClientSession, held: Gate):
    """How full each was, who loaded it, and what an unload cut off."""
    request = asyncio.create_task(fetch(http, "/v1/chat/completions", ask()))
    await asyncio.wait_for(held.reached.wait(), 5)
    simulator.memory.unload(LLM)
    async with http.get("/simulator/ledger") as response:
        books = await response.json()
    [instance] = books["instances"]
    for one in (books["slots"], books["models"][LLM], instance):
        assert 0 < one.pop("busy_seconds") < 60
    slots = {"running": 0, "queued": 0, "most_running": 1, "most_queued": 0}
    assert (books["slots"], books["models"]) == (slots, {LLM: slots})
    assert instance == {"identifier": LLM, "model": LLM, "loaded_by": "hand", **slots}
    [load] = books["loads"]
    assert (load["model"], load["loaded_by"], load["outcome"]) == (LLM, "hand", "loaded")
    unload = {"identifier": LLM, "model": LLM, "reason": "asked", "busy": 1, "queued": 0}
    unload |= {"loaded_by": "hand", "unloaded_by": "hand", "at": books["unloads"][0]["at"]}
    assert load["began_at"] <= load["ended_at"] <= unload["at"]
    assert books["unloads"] == [unload]
    held.opened.set()
    assert await request == 400


TEXT = "Model unloaded."
OBJECT = {"message": TEXT, "type": "invalid_request_error", "param": None, "code": None}


@pytest.mark.parametrize(
    ("path", "data"),
    [
        *(
            (path, {"error": {"message": TEXT}, "message": TEXT})
            for path in ("/v1/chat/completions", "/v1/completions", "/api/v0/chat/completions")
        ),
        ("/v1/responses", {"error": OBJECT}),
        ("/v1/messages", {"type": "error", "error": {"type": "invalid_request_error", "message": TEXT}}),
    ],
)
async def test_unloading_ends_a_stream(
    simulator: Simulator, http: aiohttp.ClientSession, held: Gate, path: str, data: object
):
    """Unloading a generating model sends its client an error event, in the shape of the endpoint."""
    async with http.post(path, json=ask(stream=True) | PATHS[path]) as response:
        await asyncio.wait_for(held.reached.wait(), 5)
        assert simulator.memory.instances()[0].processing_state() == {"status": "generating", "queued": 1}
        simulator.memory.unload(LLM)
        held.opened.set()
        last = (await response.text()).split("\n\n")[-2]
    assert last.startswith("event: error\ndata: ")
    assert json.loads(last.removeprefix("event: error\ndata: ")) == data
    assert simulator.ledger.total.aborted == 1


async def test_unloading_ends_an_answer(simulator: Simulator, http: aiohttp.ClientSession, held: Gate):
    """Without a stream it is an HTTP error."""
    request = asyncio.create_task(fetch(http, "/v1/chat/completions", ask()))
    await asyncio.wait_for(held.reached.wait(), 5)
    simulator.memory.unload(LLM)
    held.opened.set()
    assert await asyncio.wait_for(request, 5) == 400


async def test_closing_does_not_wait_for_clients():
    """Open streams and sockets delay the end by less than a second."""
    simulator = Simulator(pace=Gate(holds="token"))
    simulator.load(LLM)
    async with AsyncExitStack() as serving, aiohttp.ClientSession() as http:
        base = f"http://127.0.0.1:{await serving.enter_async_context(serve(simulator, '127.0.0.1', 0))}"
        stream = await http.post(f"{base}/v1/chat/completions", json=ask(stream=True))
        raw = await http.ws_connect(f"{base}/llm")
        await Socket(raw).authenticate()
        began = time.monotonic()
        await serving.aclose()
        assert time.monotonic() - began < 1
        with pytest.raises(aiohttp.ClientError):
            await stream.read()
        await raw.close()


async def test_two_simulators_at_once():
    """Nothing is shared between simulators of one process."""
    one, two = Simulator(pace=Pace.instant()), Simulator(pace=Pace.instant())
    async with (
        serve(one, "127.0.0.1", 0) as port,
        serve(two, "127.0.0.1", 0),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        http.post("/v1/chat/completions", json=ask()) as response,
    ):
        assert response.status == 200
    assert (one.ledger.total.finished, two.ledger.total.finished) == (1, 0)
