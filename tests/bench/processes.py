"""Processes that take part: started on a core of their own, asked until they answer, ended for certain."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from .asking import Asking, Unanswered
from .wire import Door, chat

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 60.0
END_SECONDS = 5.0
TOLD_LINES = 8
_INHERITED = ("PATH", "HOME", "PYTHONPATH", "LANG")


class CannotStart(Exception):
    """A process ended early, or doesn't answer; the message ends with its last lines."""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let what is started inside run on this core only: a child has its parent's cores."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@asynccontextmanager
async def running(
    *command: str, core: int, log: Path, cwd: Path = ROOT, environ: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command inside, with what it prints in `log`, and nothing of ours in its environment."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    with log.open("wb") as output, on_core(core):
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={**inherited, **(environ or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C is for us, who then end everybody; and a group of its own can be ended as one.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it and its children; a group's number can't be another's before its first process is waited for."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def answers(process: asyncio.subprocess.Process, door: Door, log: Path) -> None:
    """Wait until a request through this door is answered well. Raises CannotStart."""
    deadline = time.monotonic() + START_SECONDS
    why = ""
    while process.returncode is None and time.monotonic() < deadline:
        try:
            await _probe(door)
        except (OSError, Unanswered, TimeoutError) as exc:
            why = str(exc)
            await asyncio.sleep(0.05)
        else:
            return
    lines = log.read_text(errors="replace").splitlines()[-TOLD_LINES:]
    raise CannotStart("\n".join([f"no answer on port {door.port}: {why}", *lines]))


async def _probe(door: Door) -> None:
    async with asyncio.timeout(END_SECONDS), Asking.connected(door.port) as client:
        await client.ask(door.post(chat(model=door.model)))
