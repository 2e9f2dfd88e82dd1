"""The same gateway as a process of its own, whose memory and log a test can read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.hostile.conftest import KEY
from tests.support.process import Process, serving


@dataclass
class GatewayProcess:
    """`peak` is the most memory that `measure` has seen, beyond what the process began with."""

    process: Process
    port: int
    log: bytearray = field(default_factory=bytearray)
    peak: int = 0

    def __post_init__(self) -> None:
        self.before = self.resident_bytes

    @property
    def resident_bytes(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    @property
    def alive(self) -> bool:
        return self.process.process.returncode is None

    def measure(self) -> None:
        self.peak = max(self.peak, self.resident_bytes - self.before)

    async def read_log(self) -> None:
        """Keep what it prints: a full pipe would block its writer."""
        assert self.process.process.stdout is not None
        while data := await self.process.process.stdout.read(65536):
            self.log += data


@asynccontextmanager
async def running_process(folder: Path, base_url: str, *options: str) -> AsyncIterator[GatewayProcess]:
    """`options` are further settings: `logging.level=debug`."""
    arguments = [word for option in options for word in ("--set", option)]
    environ = {"LMSTUDIO_BASE_URL": base_url, "GATEWAY_API_KEY": KEY, "IP_ALLOWLIST": "127.0.0.1,::1"}
    async with serving(folder, *arguments, **environ) as (process, port):
        served = GatewayProcess(process, port)
        reading = asyncio.create_task(served.read_log())
        try:
            yield served
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
