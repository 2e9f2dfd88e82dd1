"""Programs of npm, run to their end with nothing of the user's environment but PATH."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

# Claude Code's ten retries take three minutes, which no test may wait for.
PROGRAM_SECONDS = 60.0


@dataclass
class Finished:
    status: int
    output: str


@dataclass
class Program:
    """A command, the folder it runs in, and its environment."""

    command: Path
    folder: Path
    environ: dict[str, str]

    def with_environ(self, **variables: str) -> Program:
        return replace(self, environ={**self.environ, **variables})

    async def run(self, *arguments: str) -> Finished:
        """Raises TimeoutError, and ends the program and its children, after PROGRAM_SECONDS."""
        process = await asyncio.create_subprocess_exec(
            self.command,
            *arguments,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), PROGRAM_SECONDS)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()
        return Finished(process.returncode or 0, output.decode())
