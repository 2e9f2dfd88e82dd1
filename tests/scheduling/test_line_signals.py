"""What signals do to a process in which requests wait."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lmgateway.simulator import Simulator, Switches
from tests.support.gate import Gate
from tests.support.keys import OWNER, bearer
from tests.support.process import Process, serving
from tests.support.studio import running_studio
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
LLM = "qwen2.5-7b-instruct"
CHAT = {"model": LLM, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
Asked = asyncio.Task[tuple[int, Any]]


@dataclass
class Served:
    """A gateway's process before an LM Studio whose model waits at a gate."""

    process: Process
    simulator: Simulator
    gate: Gate
    session: aiohttp.ClientSession
    config: Path
    asked: list[Asked] = field(default_factory=list)

    def ask(self, **members: object) -> Asked:
        async def asking() -> tuple[int, Any]:
            async with self.session.post("/v1/chat/completions", json=CHAT | members) as response:
                return response.status, await response.text()

        self.asked.append(asyncio.create_task(asking()))
        return self.asked[-1]

    async def holds(self, *, running: int, waiting: int) -> None:
        """Wait until so many run and wait, by the gateway's report."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                async with self.session.get("/debug/queue") as response:
                    report = await response.json()
                if (len(report["running"]), len(report["waiting"])) == (running, waiting):
                    return
                await asyncio.sleep(0.02)

    async def reload(self, text: str) -> None:
        """Put another configuration in force."""
        self.config.write_text(text)
        self.process.send(signal.SIGHUP)
        await self.process.line("the configuration is reloaded")


@asynccontextmanager
async def served(folder: Path, text: str = "") -> AsyncIterator[Served]:
    """Run a process with this configuration, and an LM Studio with four slots."""
    config, gate = folder / "config.toml", Gate(holds="prompt")
    config.write_text(text)
    simulator = Simulator(pace=gate, switches=Switches(parallel=4))
    simulator.load(LLM)
    async with running_studio(simulator) as studio:
        environ = {"LMSTUDIO_BASE_URL": studio.base_url, "GATEWAY_API_KEY": OWNER}
        async with (
            serving(folder, "--config", str(config), **environ) as (process, port),
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=bearer(OWNER)) as session,
        ):
            one = Served(process, simulator, gate, session, config)
            yield one
            gate.opened.set()
            for task in one.asked:
                task.cancel()
            await asyncio.gather(*one.asked, return_exceptions=True)


def slots(count: int, queue: str = "") -> str:
    return f'[queue]\n{queue}\n[models."{LLM}"]\nslots = {count}\n'


async def test_what_waits_when_the_gateway_stops_gets_503_at_once(tmp_path: Path) -> None:
    """While what runs is drained: its answer is whole, and the process ends well."""
    async with served(tmp_path, slots(1)) as one:
        first = one.ask()
        await one.holds(running=1, waiting=0)
        waiting = [one.ask(), one.ask(stream=True)]
        await one.holds(running=1, waiting=2)
        one.process.send(signal.SIGTERM)
        for task in waiting:
            status, text = await asyncio.wait_for(task, PATIENCE_SECONDS)
            assert (status, json.loads(text)["error"]["code"]) == (503, "gateway_ending")
        assert not first.done()
        one.gate.opened.set()
        assert (await asyncio.wait_for(first, PATIENCE_SECONDS))[0] == 200
        assert one.simulator.ledger.total.begun == 1
        await one.session.close()
        assert (await one.process.ends())[0] == 0


async def test_a_reload_gives_what_waits_more_slots(tmp_path: Path) -> None:
    """And takes some away without touching what runs."""
    async with served(tmp_path, slots(1)) as one:
        tasks = [one.ask() for _ in range(5)]
        await one.holds(running=1, waiting=4)
        await one.reload(slots(3))
        await one.holds(running=3, waiting=2)
        await one.reload(slots(2))
        await one.holds(running=3, waiting=2)
        one.gate.opened.set()
        assert [(await asyncio.wait_for(task, PATIENCE_SECONDS))[0] for task in tasks] == [200] * 5


async def test_a_reload_changes_the_bounds(tmp_path: Path) -> None:
    """For those that arrive; what waits goes on waiting."""
    async with served(tmp_path, slots(1)) as one:
        tasks = [one.ask() for _ in range(4)]
        await one.holds(running=1, waiting=3)
        await one.reload(slots(1, "max_waiting = 2"))
        status, text = await asyncio.wait_for(one.ask(), PATIENCE_SECONDS)
        assert (status, json.loads(text)["error"]["code"]) == (429, "queue_full")
        one.gate.opened.set()
        assert [(await asyncio.wait_for(task, PATIENCE_SECONDS))[0] for task in tasks] == [200] * 4


async def test_without_the_line_what_waits_is_sent_at_once(tmp_path: Path) -> None:
    """LM Studio has a line of its own."""
    async with served(tmp_path, slots(1)) as one:
        tasks = [one.ask() for _ in range(6)]
        await one.holds(running=1, waiting=5)
        await one.reload(slots(1, "enabled = false"))
        await one.holds(running=6, waiting=0)
        await one.simulator.ledger.wait(begun=6)
        occupancy = one.simulator.ledger.occupancy
        assert (occupancy.running, occupancy.queued) == (4, 2)
        one.gate.opened.set()
        assert [(await asyncio.wait_for(task, PATIENCE_SECONDS))[0] for task in tasks] == [200] * 6
