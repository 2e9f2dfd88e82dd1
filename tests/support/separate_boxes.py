"""A gateway and several simulated LM Studios, each a process of its own that signals can freeze and kill."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil

from tests.support.box_process import Event
from tests.support.keys import OWNER, bearer
from tests.support.process import Process, lmgateway
from tests.support.waiting import PATIENCE_SECONDS, STARTING_SECONDS, until

ROOT = Path(__file__).parent.parent.parent
LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
NAMES = ("a", "b", "c")
# What a house logs is kept up to here.
LOG_BYTES = 4 * 1024**2


class Receipt(NamedTuple):
    """A request that a box has received, or an answer whose head it is about to send.

    `request_id` is that of the gateway's client. `at` is in seconds of the machine's monotonic clock, which
    is the test's too.
    """

    event: Event
    method: str
    path: str
    request_id: str
    at: float


class BoxOptions(NamedTuple):
    """`models` are in memory at the start. A speed is that of each request, however many there are."""

    models: Sequence[str] = (LLM,)
    slots: int = 4
    tokens_per_second: float = 200.0
    prompt_tokens_per_second: float = 20_000.0
    load_seconds: float = 1.0

    def arguments(self) -> list[str]:
        figures = {
            "--slots": self.slots,
            "--tokens-per-second": self.tokens_per_second,
            "--prompt-tokens-per-second": self.prompt_tokens_per_second,
            "--load-seconds": self.load_seconds,
        }
        loads = [word for model in self.models for word in ("--load", model)]
        return loads + [word for name, figure in figures.items() for word in (name, str(figure))]


@dataclass
class SeparateBox:
    """One LM Studio. It keeps its port when it is started again after `kill`."""

    name: str
    file: Path
    options: BoxOptions
    port: int = 0
    _process: asyncio.subprocess.Process | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.box_process", "--receipts", str(self.file)),
            *("--port", str(self.port), *self.options.arguments()),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.port = int(await self._line(STARTING_SECONDS))

    async def kill(self) -> None:
        """End it as `kill -9` does, also while it is frozen."""
        if (process := self._process) is not None:
            self._process = None
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def freeze(self) -> None:
        """Stop the process: the kernel still accepts connections for it, but nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        await until(lambda: self._status() == psutil.STATUS_STOPPED)

    async def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        await until(lambda: self._status() != psutil.STATUS_STOPPED)

    async def tell(self, command: str) -> None:
        """Have it carry out a command of tests.support.box_process."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        assert await self._line(PATIENCE_SECONDS) == command

    def receipts(self) -> list[Receipt]:
        """Return what it has received and answered, but for greetings and sockets of the SDK."""
        lines = self.file.read_bytes().splitlines() if self.file.exists() else []
        receipts = [Receipt(**json.loads(line)) for line in lines]
        return [one for one in receipts if one.path.startswith(("/v1/", "/api/"))]

    def requests(self) -> list[Receipt]:
        """Return what it has received for a model: generations and embeddings."""
        return [one for one in self.receipts() if one.event == "received" and one.method == "POST"]

    def was_looked_at(self) -> bool:
        """True if it was asked for its models."""
        return any(one.event == "answering" and one.path.endswith("/models") for one in self.receipts())

    def _status(self) -> str:
        assert self._process is not None
        return str(psutil.Process(self._process.pid).status())

    async def _line(self, seconds: float) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        assert line, f"the box {self.name} has ended"
        return line.decode().rstrip("\n")


@dataclass
class SeparateGateway:
    """The `lmgateway` command. `log` is what it has printed."""

    process: Process
    port: int
    log: bytearray = field(default_factory=bytearray)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def logging(self) -> AsyncIterator[None]:
        """Read what it prints while inside: a full pipe would block its writer."""
        reading = asyncio.create_task(self._read())
        try:
            yield
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    async def _read(self) -> None:
        assert self.process.process.stdout is not None
        while data := await self.process.process.stdout.read(65536):
            self.log += data[: LOG_BYTES - len(self.log)]


@dataclass
class SeparateBoxes:
    """`client` sends the owner's key."""

    boxes: Mapping[str, SeparateBox]
    gateway: SeparateGateway
    client: aiohttp.ClientSession

    def boxes_of(self, request_id: str) -> list[str]:
        """Return the names of the boxes that have received this request, the first one first."""
        found = [
            (one.at, name)
            for name, box in self.boxes.items()
            for one in box.requests()
            if one.request_id == request_id
        ]
        return [name for _, name in sorted(found)]


@asynccontextmanager
async def separate_boxes(
    folder: Path,
    options: BoxOptions | None = None,
    *,
    names: Sequence[str] = NAMES,
    settings: Sequence[str] = (),
) -> AsyncIterator[SeparateBoxes]:
    """Run a gateway before a box of each name. `settings` are further ones: `queue.max_wait_ms=1000`.

    A single box is configured as `[lmstudio]`. All processes end with this context.
    """
    async with AsyncExitStack() as stack:
        boxes = {
            name: SeparateBox(name, folder / f"{name}.receipts", options or BoxOptions()) for name in names
        }
        for box in boxes.values():
            stack.push_async_callback(box.kill)
        await asyncio.gather(*(box.start() for box in boxes.values()))
        (folder / "config.toml").write_text(_config(boxes))
        arguments = [word for setting in settings for word in ("--set", setting)]
        command = ("serve", "--host", "127.0.0.1", "--port", "0", *arguments)
        process = await stack.enter_async_context(
            lmgateway(*command, cwd=folder, is_covered=False, GATEWAY_API_KEY=OWNER)
        )
        gateway = SeparateGateway(process, await process.port())
        await stack.enter_async_context(gateway.logging())
        client = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=bearer(OWNER))
        )
        if len(boxes) > 1:  # a single one is asked for its models by the first request
            await until(lambda: all(box.was_looked_at() for box in boxes.values()), STARTING_SECONDS)
        yield SeparateBoxes(boxes, gateway, client)


def three_boxes(
    folder: Path, *, settings: Sequence[str] = (), **options: Any
) -> AbstractAsyncContextManager[SeparateBoxes]:
    """Run a gateway before the boxes a, b and c. `options` are those of BoxOptions."""
    return separate_boxes(folder, BoxOptions(**options), settings=settings)


def _config(boxes: Mapping[str, SeparateBox]) -> str:
    if len(boxes) == 1:
        return f'[lmstudio]\nbase_url = "{next(iter(boxes.values())).base_url}"\n'
    return "".join(f'[boxes.{name}]\nbase_url = "{box.base_url}"\n' for name, box in boxes.items())
