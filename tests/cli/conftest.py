"""The commands of `lmgateway`, run beside a gateway with a key and a simulated LM Studio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmgateway.simulator import Simulator
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.gateway import Gateway
from tests.support.process import run_here
from tests.support.studio import running_studio
from tests.support.terminal import Terminal, on_terminal

KEY = "the key"


@dataclass
class Commands:
    """`gate` holds loads half-way while it is closed; it is open at first."""

    gateway: Gateway
    simulator: Simulator
    studio_url: str
    gate: Gate
    folder: Path

    @property
    def access(self) -> tuple[str, ...]:
        return ("--url", self.gateway.base_url, "--key", KEY)

    async def run(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Run a command with the gateway's address and key."""
        return await run_here(*arguments, *self.access, cwd=self.folder, **environ)

    async def run_bare(self, *arguments: str, **environ: str) -> tuple[int, str]:
        return await run_here(*arguments, cwd=self.folder, **environ)

    def on_terminal(
        self, *arguments: str, stdout: int | None = None
    ) -> AbstractAsyncContextManager[Terminal]:
        return on_terminal(*arguments, *self.access, cwd=self.folder, stdout=stdout)


@pytest.fixture
async def commands(start_gateway: StartGateway, tmp_path: Path) -> AsyncIterator[Commands]:
    gate = Gate(holds="load", load_from=0.5)
    gate.opened.set()
    simulator = Simulator(pace=gate)
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, auth={"api_key": KEY})
        yield Commands(gateway, simulator, studio.base_url, gate, tmp_path)
