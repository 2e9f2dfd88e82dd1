"""Promises about what is recorded of texts that clients choose: it is bounded, in each field and in all."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import re
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from lmgateway.observe.event_stream import EVENT_BYTES, HISTORY_BYTES
from lmgateway.observe.events import ModelActivate
from lmgateway.observe.model_labels import MAX_UNLISTED
from lmgateway.schema.models import DefaultInference
from lmgateway.simulator import Pace, Simulator
from lmgateway.web.state import EVENTS
from tests.conftest import StartGateway
from tests.hostile.conftest import FIELDS, KEY, Connect
from tests.hostile.gateway_process import GatewayProcess, running_process
from tests.support.gateway import Gateway
from tests.support.home import QUICK, Home
from tests.support.raw_client import raw_client
from tests.support.studio import running_studio
from tests.support.upstream import Received, ScriptedUpstream, answer
from tests.support.waiting import until

MIB = 1024**2
CHAT = "/v1/chat/completions"
REAL = "qwen2.5-7b-instruct"


def get(path: str, fields: bytes = FIELDS) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), fields)


async def ask(gateway: Gateway, body: dict[str, Any], path: str = CHAT) -> int:
    # A file: aiohttp warns of a large body in one piece.
    data = io.BytesIO(json.dumps(body).encode())
    async with gateway.client.post(gateway.url(path), data=data) as response:
        await response.read()
        return response.status


async def text_of(gateway: Gateway, path: str) -> str:
    async with gateway.client.get(gateway.url(path)) as response:
        assert response.status == 200
        return await response.text()


def held_without(upstream: ScriptedUpstream) -> int:
    """Return the bytes that tracemalloc traces, without the requests that the upstream recorded."""
    upstream.received.clear()
    while not upstream.arrivals.empty():
        upstream.arrivals.get_nowait()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def labels_in(metrics: str) -> set[str]:
    return set(re.findall(r'^lmgateway_requests_total\{.*model="([^"]*)"', metrics, re.MULTILINE))


async def test_long_names_of_models_are_not_kept(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Neither in the history, nor in events, nor in /debug/requests."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = answer(b"{}", status="404 Not Found")
    with gateway.app[EVENTS].subscribe() as subscription:
        tracemalloc.start()
        try:
            for number in range(10):
                assert await ask(gateway, {"model": f"{number}" + "x" * 2_000_000}) == 404
            shown = await text_of(gateway, "/debug/requests")
            # The client has its answer before the request has ended, which holds the body until then.
            await until(lambda: held_without(upstream) < 3 * MIB)
        finally:
            tracemalloc.stop()
        batch = await subscription.next()
    assert batch is not None
    assert [len(request["model"]) for request in json.loads(shown)["recent"]] == [256] * 10
    assert all(event.size < 8192 for event in batch.events)


async def test_only_what_lm_studio_lists_has_a_label(start_gateway: StartGateway) -> None:
    """Invented names share one, and don't keep a real model from its own."""
    simulator = Simulator(pace=Pace.instant())
    simulator.load(REAL)
    simulator.load(REAL, "mine")
    async with running_studio(simulator) as studio:
        # With residency such requests don't reach LM Studio.
        off = {"enabled": False}
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK, residency=off), studio)

        async def invent(request: int) -> None:
            await ask(home.gateway, {"model": f"{request}" + "x" * 10_000, "messages": []})

        for number in range(60):
            await invent(number)
        for name in (REAL, "mine"):
            assert (
                await ask(home.gateway, {"model": name, "messages": [{"role": "user", "content": "x"}]})
                == 200
            )
        metrics = await text_of(home.gateway, "/metrics")
        assert {REAL, "mine"} <= labels_in(metrics) <= {REAL, "mine", "other"}
        assert len(metrics) < 100_000


@pytest.mark.parametrize("listed", ["/api/v0/models", "/v1/models", "nowhere"])
async def test_names_that_were_answered_are_looked_up_when_the_metrics_are_read(
    start_gateway: StartGateway, upstream: ScriptedUpstream, listed: str
) -> None:
    """Once, whatever the number of names; LM Studio answers to names that it doesn't have."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names = [{"id": "real"}, {"id": "y" * 500_000}] if request.target == listed else []
        await answer(json.dumps({"data": names}).encode())(request, reader, writer)

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    long = ["y" * 500_000, *(f"{number}" + "x" * 500_000 for number in range(10))]
    for name in ("invented", *long, "real"):
        assert await ask(gateway, {"model": name}) == 200
    metrics = await text_of(gateway, "/metrics")
    known = set() if listed == "nowhere" else {"real", "y" * 255 + "…"}
    assert labels_in(metrics) == {*known, "other"}
    assert len(metrics) < 200_000
    lookups = [request.target for request in upstream.received if request.method == "GET"]
    # The ledger's next write may have looked up the first ones already.
    assert set(lookups) == {"/api/v0/models", "/api/v1/models", "/v1/models"}
    assert labels_in(await text_of(gateway, "/metrics")) == {*known, "other"}
    assert len(upstream.received) == len(lookups) + 13


async def test_counters_never_fall(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A model that becomes listed after its requests were shown as "other" gets a label for later ones."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = answer(b'{"data": []}')
    await ask(gateway, {"model": "new"})
    before = await text_of(gateway, "/metrics")
    upstream.script = answer(b'{"data": [{"id": "new"}]}')
    await ask(gateway, {"model": "new"})
    after = await text_of(gateway, "/metrics")
    assert (labels_in(before), labels_in(after)) == ({"other"}, {"other", "new"})
    for text in (before, after):
        assert re.search(r'requests_total\{.*model="other".*\} 1\.0$', text, re.MULTILINE)


async def test_so_many_unlisted_requests_wait_for_a_list(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Without anybody who reads the metrics they don't pile up."""
    gateway = await start_gateway(upstream.base_url)
    client = gateway.client
    for number in range(MAX_UNLISTED + 10):
        async with client.post(gateway.url("/v1/embeddings"), json={"model": f"m{number}"}):
            pass
    assert len(gateway.app[EVENTS].history) <= 1000
    metrics = await text_of(gateway, "/metrics")
    assert labels_in(metrics) == {"other"}
    assert re.search(rf"requests_total\{{.*\}} {MAX_UNLISTED + 10}\.0$", metrics, re.MULTILINE)


async def resume(served: GatewayProcess, stack: AsyncExitStack, number: int) -> None:
    """Connect so many readers that want the whole history, and read nothing but its beginning."""
    for _ in range(number):
        client = await stack.enter_async_context(raw_client(served.port))
        await client.send(get("/debug/stream", FIELDS + b"Last-Event-ID: 0\r\n"))
        await client.head()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]


async def test_60_readers_that_resume_and_do_not_read_hold_no_copies(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    path = "/v1/models/" + "x" * 20_000
    async with (
        running_process(tmp_path, upstream.base_url, "logging.level=warn") as served,
        AsyncExitStack() as stack,
    ):
        client = await stack.enter_async_context(raw_client(served.port))
        for _ in range(60):
            await client.send(get(path) * 10)
            for _ in range(10):
                await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n{}"), 5)
        await resume(served, stack, 1)
        before = served.resident_bytes
        await resume(served, stack, 60)
        async with raw_client(served.port) as other:
            await other.send(get("/metrics"))
            assert b"event_subscribers 61.0\n" in (await other.answer()).body
        # A copy of the history for each of them would take 60 MiB; their sockets' buffers take up to 17.
        assert served.resident_bytes - before < 32 * MIB


async def test_the_history_is_bounded_in_bytes(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Per event, and in all; a reader that returns learns how many it missed."""
    events = (await start_gateway(upstream.base_url)).app[EVENTS]

    def publish(bytes_: int) -> None:
        defaults = DefaultInference(stop_strings=("x" * bytes_,))
        events.publish(ModelActivate(model_key="m", instance_id=None, default_inference=defaults))

    publish(EVENT_BYTES + 1)
    assert len(events.history) == 0
    for _ in range(1000):
        publish(EVENT_BYTES // 2)
    assert HISTORY_BYTES // 2 < sum(len(event.frame) for event in events.history) <= HISTORY_BYTES
    first = events.history[0].number
    with events.subscribe(after=first - 11) as subscription:
        assert subscription.take_missed() == 10


@pytest.mark.parametrize("style", ["plain", "json"])
async def test_long_paths_are_cut_in_the_log(tmp_path: Path, upstream: ScriptedUpstream, style: str) -> None:
    """A client without a key can't fill the disk with them."""
    paths = ["/v1/" + "x" * 31_000, "/nowhere/" + "%1b" * 10_000, "/v1/" + "%F0%9F%99%82" * 2_500]
    async with running_process(tmp_path, upstream.base_url, f"logging.format={style}") as served:
        for path in paths * 5:
            async with raw_client(served.port) as client:
                await client.send(get(path, b"Host: x\r\n"))
                assert b" 401 " in await client.head()
        async with raw_client(served.port) as client:
            await client.send(get("/v1/at-the-end"))
            await client.answer()
            async with asyncio.timeout(5):
                while b"at-the-end" not in served.log:
                    await asyncio.sleep(0.01)
        lines = served.log.decode().splitlines()
    assert len([line for line in lines if " 401 " in line]) == 15
    # JSON has the path twice, and six bytes for a character outside ASCII.
    assert max(map(len, lines)) < (1400 if style == "plain" else 7000)


async def test_a_long_connection_field_is_not_remembered(
    gateway: Gateway, connect: Connect, upstream: ScriptedUpstream
) -> None:
    """Its names would take a megabyte each time."""
    tracemalloc.start()
    try:
        async with connect() as client:
            for number in range(30):
                names = ",".join(f"{number}.{index}" for index in range(2500)).encode()
                await client.send(get("/v1/models", FIELDS + b"Connection: keep-alive,%s\r\n" % names))
                await client.answer()
        await until(lambda: held_without(upstream) < 5 * MIB)
    finally:
        tracemalloc.stop()


async def test_a_long_method_is_refused_or_cut(gateway: Gateway, connect: Connect) -> None:
    async with connect() as client:
        await client.send(b"%s /v1/models HTTP/1.1\r\n%s\r\n" % (b"M" * 20_000, FIELDS))
        await client.head()
    headers = {"X-API-Key": KEY}
    async with gateway.client.get(gateway.url("/debug/requests"), headers=headers) as response:
        assert all(len(request["method"]) <= 32 for request in (await response.json())["recent"])


async def test_long_names_on_lm_studios_lists_are_cut(start_gateway: StartGateway) -> None:
    """They delay no other request, wherever they are listed, compared or shown."""
    names = ("displayName", "publisher", "architecture", "paramsString", "format")
    model = {
        "type": "llm",
        "modelKey": "k" * 900_000,
        "path": "p" * 900_000,
        **dict.fromkeys(names, "x" * 10_000),
    }
    async with running_studio(Simulator(pace=Pace.instant(), extra_models=[model])) as studio:
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        _, listed = await home.get("/admin/models")
        (long,) = [entry for entry in listed["downloaded"] if entry["modelKey"].startswith("kkk")]
        assert {
            name: len(value) for name, value in long.items() if isinstance(value, str) and len(value) > 20
        } == {
            **dict.fromkeys((*names, "modelKey"), 256),
            "path": len(long["path"]),
        }
        assert len(long["path"]) <= 1024
        status, missing = await home.post("load", modelKey="k" * 200)
        assert (status, len(json.dumps(missing)) < 2000) == (404, True)


async def test_admin_names_are_bounded(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A longer one is no model's."""
    gateway = await start_gateway(upstream.base_url)
    home = Home(gateway, None)  # type: ignore[arg-type] # without an LM Studio
    long = {"modelKey": "x" * 257, "type": "llm"}
    assert (await home.post("activate", **long))[0] == 400
    assert (await home.post("activate", modelKey="x" * 256, type="llm"))[0] == 200
