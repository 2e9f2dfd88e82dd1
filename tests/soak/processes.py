"""The processes that take part: a gateway that is watched, and a pretend LM Studio that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from tests.hostile_studio.front import Front
from tests.support.process import Process, lmgateway

from .client import CHAT_MODELS, EMBEDDING_MODEL, KEY, MAX_BODY_BYTES, MAX_UPLOAD_BYTES

END_SECONDS = 15
# How long after its return somebody may still get the answer to an attempt from before it.
RETURN_SECONDS = 1.0
KEPT_LINES = 200
# The soak watches the gateway under load, and not how LM Studio's own limits look to its clients.
SWITCHES = tuple(
    f"--switch={name}"
    for name in (
        "auto_evict=false",
        "auto_fit=false",
        "jit_race=false",
        "parallel=64",
        "share_speed=false",
        "unified_kv_cache=false",
    )
)


@dataclass
class Log:
    """What a process prints, read at once, so that it never blocks; only complaints are stored.

    `strange` counts the lines that are no entries of the log.
    """

    lines: int = 0
    warnings: int = 0
    errors: int = 0
    strange: int = 0
    tracebacks: int = 0
    complaints: list[str] = field(default_factory=list)

    async def follow(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self._take(line.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        is_entry = line[:1].isdigit()
        level = line.split(" ", 2)[1:2] if is_entry else []
        self.lines += 1
        self.warnings += level == ["WARNING"]
        self.errors += level in (["ERROR"], ["CRITICAL"])
        self.tracebacks += line.startswith("Traceback")
        self.strange += not is_entry
        # A traceback's lines are no entries of their own.
        is_complaint = level in (["WARNING"], ["ERROR"], ["CRITICAL"]) or not is_entry
        if is_complaint and len(self.complaints) < KEPT_LINES:
            self.complaints.append(line)


@dataclass
class Running:
    process: Process
    port: int
    log: Log
    ended_by_itself: bool = False

    @property
    def exit_status(self) -> int | None:
        return self.process.process.returncode

    @property
    def is_alive(self) -> bool:
        return self.exit_status is None

    async def end(self, *, kindly: bool) -> None:
        """End it, with SIGTERM first if kindly."""
        process = self.process.process
        if self.is_alive and kindly:
            process.terminate()
            try:
                async with asyncio.timeout(END_SECONDS):
                    await process.wait()
            except TimeoutError:
                self.log.complaints.append(f"didn't end within {END_SECONDS} s")
        if self.is_alive:
            process.kill()
        await process.wait()


@asynccontextmanager
async def running(*arguments: str, cwd: Path, **environ: str) -> AsyncIterator[Running]:
    async with lmgateway(*arguments, cwd=cwd, **environ) as process:
        log = Log()
        started = Running(process, await process.port(), log)
        assert process.process.stdout is not None
        following = asyncio.create_task(log.follow(process.process.stdout))
        try:
            yield started
        finally:
            started.ended_by_itself = not started.is_alive
            await started.end(kindly=True)
            await following


def gateway(studio_port: int, cwd: Path) -> AbstractAsyncContextManager[Running]:
    """A gateway with everything on that a household has on."""
    return running(
        *("serve", "--host", "127.0.0.1", "--port", "0"),
        # The line is on, and lets all run: LM Studio's own line is what is soaked behind it.
        *(f'--set=models."{model}".slots=1000' for model in (*CHAT_MODELS, EMBEDDING_MODEL)),
        cwd=cwd,
        LMSTUDIO_BASE_URL=f"http://127.0.0.1:{studio_port}",
        GATEWAY_API_KEY=KEY,
        IP_ALLOWLIST="127.0.0.1",
        MAX_BODY_BYTES=str(MAX_BODY_BYTES),
        MAX_UPLOAD_BYTES=str(MAX_UPLOAD_BYTES),
        # Silence is part of the damage. A load of the pretend LM Studio makes progress every second.
        PROXY_TIMEOUT="20000",
        PROXY_STREAM_TIMEOUT="20000",
        LMSTUDIO_LOAD_TIMEOUT="10000",
    )


class Studio:
    """The pretend LM Studio behind its hostile front: always the same port, not always the same process."""

    def __init__(self, cwd: Path, seed: str) -> None:
        self.restarts = 0
        self._seed = seed
        self._port = 0
        self._front: Front
        self._cwd = cwd
        self._life = AsyncExitStack()
        self._process: Running
        self._back_at = -inf

    async def start(self) -> None:
        self._process = await self._life.enter_async_context(
            running("simulate", "--port", str(self._port), *SWITCHES, cwd=self._cwd)
        )
        if not self._port:
            self._port = self._process.port
            self._front = Front(self._port, self._seed)
        await self._front.start()
        self._life.push_async_callback(self._front.stop)

    @property
    def port(self) -> int:
        return self._front.port

    async def restart(self, down_seconds: float) -> None:
        """Kill it, as a crash does, and start it again a while later."""
        self._back_at = inf
        self.restarts += 1
        await self._process.end(kindly=False)
        await self._life.aclose()
        await asyncio.sleep(down_seconds)
        await self.start()
        self._back_at = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        await self._life.aclose()

    def was_down_since(self, moment: float) -> bool:
        return moment < self._back_at + RETURN_SECONDS
