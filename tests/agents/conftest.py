"""Claude Code and Codex, set up for a gateway before a simulated LM Studio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmgateway.simulator import Pace, Simulator, Switches
from lmgateway.simulator.engine.switches import Overflow
from tests.agents.programs import MANIFEST, Program, claude_code, codex_cli
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.node import installed
from tests.support.relay import Relay, recording_relay
from tests.support.studio import Studio, running_studio

KEY, MODEL = "the-key", "qwen2.5-7b-instruct"


@dataclass
class Setup:
    """`relay` records what LM Studio is asked."""

    studio: Studio
    gateway: Gateway
    relay: Relay

    async def load(self, context_length: int) -> None:
        """Load MODEL with a context of so many tokens."""
        order = {"modelKey": MODEL, "loadConfig": {"contextLength": context_length}}
        url, headers = self.gateway.url("/admin/models/load"), {"X-API-Key": KEY}
        async with self.gateway.client.post(url, json=order, headers=headers) as response:
            assert response.status == 200, await response.text()

    async def make_key(self, **settings: object) -> str:
        """Make a named key, and return its secret."""
        url, headers = self.gateway.url("/admin/keys"), {"X-API-Key": KEY}
        async with self.gateway.client.post(
            url, json={"name": "anna", **settings}, headers=headers
        ) as response:
            return str((await response.json())["key"])

    async def requests(self) -> list[tuple[str, int]]:
        """Return path and status of each request that the gateway has answered, oldest first."""
        url, headers = self.gateway.url("/debug/requests"), {"X-API-Key": KEY}
        async with self.gateway.client.get(url, headers=headers) as response:
            report = await response.json()
        return [(request["path"], request["status"]) for request in report["recent"]]


@pytest.fixture(scope="session")
def commands() -> Path:
    return installed(MANIFEST) / ".bin"


@pytest.fixture
def overflow() -> Overflow:
    """The simulator's switch, for a test to override."""
    return "usual"


@pytest.fixture
async def setup(start_gateway: StartGateway, overflow: Overflow) -> AsyncIterator[Setup]:
    simulator = Simulator(pace=Pace.instant(), switches=Switches(overflow=overflow))
    async with running_studio(simulator) as studio, recording_relay(studio.port) as relay:
        yield Setup(studio, await start_gateway(relay.base_url, auth={"api_key": KEY}), relay)


@pytest.fixture
def claude(commands: Path, setup: Setup, tmp_path: Path) -> Program:
    return claude_code(commands, tmp_path, setup.gateway.base_url, KEY, MODEL)


@pytest.fixture
def codex(commands: Path, setup: Setup, tmp_path: Path) -> Program:
    return codex_cli(commands, tmp_path, setup.gateway.base_url, KEY, MODEL)
