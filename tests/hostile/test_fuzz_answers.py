"""Twenty thousand damaged answers of LM Studio, and a gateway that goes on; two hundred in the first tier.

`LMGATEWAY_FUZZ_LMSTUDIO` is how many exchanges the long test has, `LMGATEWAY_FUZZ_SEED` picks which ones (any
text), and `LMGATEWAY_FUZZ_ONLY` repeats one of them, by its index. One in twenty is over the SDK's sockets:

    LMGATEWAY_FUZZ_LMSTUDIO=50000 LMGATEWAY_FUZZ_SEED=other pytest -m long tests/hostile/test_fuzz_answers.py
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from tests.hostile.conftest import KEY
from tests.hostile.gateway_process import GatewayProcess, running_process
from tests.hostile.test_fuzz import Conversation
from tests.hostile_studio import documents
from tests.hostile_studio.exchanges import CHATS, GATEWAY_FAILED, STREAMS, fault_of, request_of
from tests.hostile_studio.server import LATE_SECONDS, HostileStudio, hostile_studio
from tests.hostile_studio.values import SECRET
from tests.soak.books import Books
from tests.support.metrics import sums_of
from tests.support.waiting import PATIENCE_SECONDS

SAMPLE = 240
EXCHANGES = int(os.environ.get("LMGATEWAY_FUZZ_LMSTUDIO", "20000"))
SEED = os.environ.get("LMGATEWAY_FUZZ_SEED", "1")
ONLY = os.environ.get("LMGATEWAY_FUZZ_ONLY")
AT_ONCE = 40
# Every so many exchanges one is a call to the admin API, which asks LM Studio over the SDK's sockets.
SDK_EVERY = 20
# What the gateway may take for all its memory, and how much more at the end than half-way.
MOST_BYTES = 400 * 1024**2
GROWTH_BYTES = 48 * 1024**2
# Links to the SDK that died take a while to be closed.
SPARE_TASKS = 60
# How long anybody may wait for /health meanwhile, on a machine that has other work.
HEALTH_SECONDS = 3.0
# Silence is part of the damage, so it is cut short. A load that is never complete ends by its own limit.
OPTIONS = (
    *("proxy.timeout_ms=1500", "proxy.stream_timeout_ms=1500", "lmstudio.call_timeout_ms=300"),
    # The line is on, and lets all run: each answer that is never given would hold a slot for two minutes.
    *(f'models."{model}".slots=1000' for model in (documents.LLM, documents.EMBEDDING)),
    # Who waits for the SDK, or for a load that never ends, gives up in time.
    *("queue.max_wait_ms=3000", "queue.max_wait_plain_ms=3000"),
    *("lmstudio.load_timeout_ms=600", "lmstudio.connect_attempts=2", "lmstudio.connect_pause_ms=10"),
)
HEADERS = {"X-API-Key": KEY}

LOADS = (documents.LLM, documents.LLM, documents.EMBEDDING, "no-such-model")


@dataclass
class Run:
    """Exchanges with the gateway, and what was wrong with which."""

    gateway: GatewayProcess
    studio: HostileStudio
    session: aiohttp.ClientSession
    faults: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    slowest_health: float = 0.0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    async def http(self, indices: Iterator[int]) -> None:
        for index in indices:
            fault = await self._http_one(index)
            if fault:
                self.faults.append(f"seed {SEED!r}, index {index}: {fault}")

    async def _http_one(self, index: int) -> str | None:
        method, sent = request_of(SEED, index, KEY)
        loop = asyncio.get_running_loop()
        transport, conversation = await loop.create_connection(Conversation, "127.0.0.1", self.gateway.port)
        try:
            transport.write(sent)
            if not await conversation.ends(PATIENCE_SECONDS):
                return f"no end after {bytes(conversation.received[:300])!r}"
        finally:
            transport.abort()
        received = bytes(conversation.received)
        self.statuses[received[9:12].decode("latin-1")] += 1
        fault = fault_of(method, received)
        return fault and f"{fault}: {received[:300]!r}"

    async def sdk(self, indices: Iterator[int]) -> None:
        """One after the other, since all of them share the gateway's sockets."""
        for index in indices:
            self.studio.begin_sdk(index)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    fault = await self._sdk_one(index)
            except TimeoutError:
                fault = "no end"
            except (aiohttp.ClientError, ValueError) as exc:
                fault = repr(exc)
            self.studio.end_sdk()
            if fault:
                self.faults.append(f"seed {SEED!r}, index {index}: {fault}")

    async def _sdk_one(self, index: int) -> str | None:
        chance = Random(f"{SEED}/{index}/request")
        model = {"modelKey": chance.choice(LOADS)}
        named = {**model, "instanceId": f"case-{index}"} if chance.random() < 0.3 else model
        calls: list[tuple[str, str, dict[str, Any] | None]] = [
            ("POST", "/admin/models/load", {**named, "activate": chance.random() < 0.5}),
            ("POST", "/admin/models/load", {**named, "activate": chance.random() < 0.5}),
            ("GET", "/admin/models", None),
            # LM Studio may say that others run on it for ever, and requests for it wait meanwhile.
            ("POST", "/admin/models/unload", {**named, "drainSeconds": 0.3}),
            ("POST", "/admin/models/activate", named),
        ]
        if self.studio.sdk_case is not None and self.studio.sdk_case.stage == "load":
            del calls[2:]
        method, path, body = chance.choice(calls)
        if fault := await self._asked(method, path, body) or await self._asked("GET", "/health/ready"):
            return fault
        for path in ("/debug/status", "/debug/requests", "/metrics"):
            if fault := await self._asked("GET", path, status=200):
                return f"{fault} after {method} {body}"
        return None

    async def _asked(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, status: int | None = None
    ) -> str | None:
        async with self.session.request(method, self.base_url + path, json=body) as answer:
            content = await answer.read()
        self.statuses[f"{answer.status} {path}"] += 1
        if GATEWAY_FAILED in content or (status is not None and answer.status != status):
            return f"{method} {path}: {answer.status} {content[:300]!r}"
        if path != "/metrics":
            json.loads(content)
        return None

    async def watch_health(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            async with self.session.get(f"{self.base_url}/health") as answer:
                await answer.read()
            self.slowest_health = max(self.slowest_health, loop.time() - began)
            await asyncio.sleep(0.02)

    async def metrics(self) -> Counter[str]:
        async with self.session.get(f"{self.base_url}/metrics") as answer:
            answer.raise_for_status()
            return sums_of(await answer.text())


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Run]:
    async with (
        hostile_studio(SEED) as studio,
        running_process(folder, studio.base_url, *OPTIONS) as gateway,
        aiohttp.ClientSession(
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
            # A connection that is kept open is a task of the gateway's.
            connector=aiohttp.TCPConnector(force_close=True),
        ) as session,
    ):
        yield Run(gateway, studio, session)


async def fuzz(folder: Path, exchanges: int) -> None:
    indices = [int(ONLY)] if ONLY else range(exchanges)
    async with running(folder) as run:
        books = Books()
        async with books.following(run.session, run.base_url, HEADERS):
            before = await honest(run)
            half = len(indices) // 2
            await hostile(run, indices[:half])
            resident = run.gateway.resident_bytes
            await hostile(run, indices[half:])
            growth = run.gateway.resident_bytes - resident
            # The last bytes that no request asked for arrive after their answer.
            await asyncio.sleep(10 * LATE_SECONDS)
            after = await honest(run)
            await settled(run, books)
            ended = (await run.metrics())["lmgateway_requests_total"]
        check(run, books)
        proxied = sum(index % SDK_EVERY != SDK_EVERY - 1 for index in indices)
        assert before <= after <= before + SPARE_TASKS
        assert books.missed or ended == books.started >= proxied
        assert growth < GROWTH_BYTES, f"{growth / 1024**2:.0f} MB more"
        assert run.gateway.resident_bytes < MOST_BYTES
        assert run.slowest_health < HEALTH_SECONDS
        if not ONLY:
            # Enough of the damage lies in what is passed on, and enough in what isn't.
            assert run.statuses["200"] > proxied / 4
            assert run.statuses["502"] > proxied / 50


async def hostile(run: Run, indices: range | list[int]) -> None:
    """Have these exchanges, and look at /health all the time."""
    sdk = [index for index in indices if index % SDK_EVERY == SDK_EVERY - 1]
    shared = iter([index for index in indices if index % SDK_EVERY != SDK_EVERY - 1])
    watching = asyncio.create_task(run.watch_health())
    try:
        await asyncio.gather(run.sdk(iter(sdk)), *(run.http(shared) for _ in range(AT_ONCE)))
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    if not watching.cancelled():
        watching.result()


async def honest(run: Run) -> int:
    """Everything works, and answers what LM Studio said; return how many tasks the gateway then has."""
    session, base_url = run.session, run.base_url
    for kind, model in (("llm", documents.LLM), ("embedding", documents.EMBEDDING)):
        body = {"modelKey": model, "type": kind}
        async with session.post(f"{base_url}/admin/models/activate", json=body) as answer:
            assert answer.status == 200, await answer.text()
    listed = await eventually(run, "GET", "/admin/models")
    assert (len(listed["loaded"]), len(listed["downloaded"])) == (2, 2), listed
    loaded = await eventually(run, "POST", "/admin/models/load", {"modelKey": documents.LLM})
    assert loaded["identifier"] == documents.LLM
    for path in CHATS:
        async with session.post(base_url + path, json={"messages": []}) as answer:
            assert (answer.status, await answer.json()) == (200, documents.plain(path))
        async with session.post(base_url + path, json={"stream": True}, headers={STREAMS: "1"}) as answer:
            text = await answer.text()
            assert (answer.status, text.count(SECRET) > 0) == (200, True)
    for path in (
        "/health",
        "/health/ready",
        "/debug/status",
        "/debug/requests",
        "/debug/metrics",
        "/v1/models",
    ):
        async with session.get(base_url + path) as answer:
            assert answer.status == 200, path
            await answer.json()
    async with session.get(f"{base_url}/debug/stream?types=inference_complete") as answer:
        assert await answer.content.readline() == b"event: connected\n"
    return await idle_tasks(run)


async def eventually(run: Run, method: str, path: str, body: object = None) -> Any:
    """Return the answer's JSON. The SDK's limits are short here, too short for a machine that is busy."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with run.session.request(method, run.base_url + path, json=body) as answer:
                content = await answer.json()
                if answer.status == 200:
                    return content
                assert answer.status in {503, 504}, content


async def idle_tasks(run: Run) -> int:
    """Return how many tasks the gateway has while it has nothing to do."""
    seen: list[int] = []
    while len(seen) < 3 or len(set(seen[-3:])) > 1:
        seen.append(int((await run.metrics())["lmgateway_tasks"]))
        await asyncio.sleep(0.05)
    return seen[-1]


async def settled(run: Run, books: Books) -> None:
    """Wait until everything that began has ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await run.metrics())["lmgateway_in_flight"] or (books.running and not books.missed):
            assert not books.mistakes, books.mistakes[:5]
            await asyncio.sleep(0.05)


_LINE = re.compile(r"\S+Z (INFO|WARNING) +lmgateway\S*: ")


def check(run: Run, books: Books) -> None:
    assert not run.faults, "\n".join([f"{len(run.faults)} faults:", *run.faults[:40]])
    assert run.gateway.alive
    assert books.missed or books.balanced, books.mistakes[:5]
    lines = run.gateway.log.decode(errors="replace").splitlines()
    odd = [line for line in lines if SECRET in line or not _LINE.match(line)]
    assert not odd, "\n".join(line[:500] for line in odd[:40])


HOW_MANY = [pytest.param(SAMPLE, id="few"), pytest.param(EXCHANGES, id="many", marks=pytest.mark.long)]


@pytest.mark.timeout(180 + EXCHANGES / 20)
@pytest.mark.parametrize("exchanges", HOW_MANY)
def test_nothing_that_lm_studio_sends_breaks_or_holds_up_the_gateway(tmp_path: Path, exchanges: int) -> None:
    """No 500, no hang, no crash, no leak; every exchange is recorded; honest ones go on."""
    # A loop of its own: asyncio's debug mode would take longer than the gateway.
    with asyncio.Runner(debug=False) as runner:
        runner.run(fuzz(tmp_path, exchanges))
