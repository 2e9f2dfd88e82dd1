"""A command of `lmgateway` on a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import ENDING_SECONDS, STARTING_SECONDS

INHERITED = ("PATH", "COVERAGE_PROCESS_CONFIG")


@dataclass
class Terminal:
    """`shown` is everything that the command has printed on the terminal."""

    process: asyncio.subprocess.Process
    screen: int
    shown: str = ""

    async def until(self, text: str) -> str:
        """Read until this text is shown, and return what was read."""
        read = ""
        while text not in read:
            output = await asyncio.wait_for(asyncio.to_thread(os.read, self.screen, 4096), STARTING_SECONDS)
            read += output.decode()
            self.shown += output.decode()
        return read

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    async def ends(self) -> int:
        """Read up to the command's end, and return its exit status."""
        with suppress(OSError):  # EIO: no process has the terminal open any more
            await self.until("\0")
        return await asyncio.wait_for(self.process.wait(), ENDING_SECONDS)


@asynccontextmanager
async def on_terminal(
    *arguments: str, cwd: Path, stdout: int | None = None, **environ: str
) -> AsyncIterator[Terminal]:
    """Run a command in a folder, which is its HOME unless `environ` names another."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    screen, side = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lmgateway", *arguments),
        cwd=cwd,
        env={**inherited, "HOME": str(cwd), **environ},
        stdin=side,
        stdout=side if stdout is None else stdout,
        stderr=side,
        start_new_session=True,  # else getpass would ask on the terminal that runs the tests
    )
    os.close(side)
    try:
        yield Terminal(process, screen)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        os.close(screen)
