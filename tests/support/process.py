"""The real `lmgateway` command as a process of its own."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from lmgateway.cli import main
from tests.support.waiting import ENDING_SECONDS, STARTING_SECONDS

_LISTENING = re.compile(r"https?://\S+:(\d+)")


@dataclass
class Process:
    process: asyncio.subprocess.Process
    output: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def port(self) -> int:
        """The port that the process prints, as soon as it listens."""
        assert self.process.stdout is not None
        while line := (await asyncio.wait_for(self.process.stdout.readline(), STARTING_SECONDS)).decode():
            self.output.append(line)
            if found := _LISTENING.search(line):
                return int(found[1])
        raise AssertionError(f"ended without listening: {self.output}")

    async def line(self, words: str) -> str:
        """Wait for a line with these words, and return it."""
        assert self.process.stdout is not None
        while line := (await asyncio.wait_for(self.process.stdout.readline(), STARTING_SECONDS)).decode():
            self.output.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended without saying so: {self.output}")

    async def says(self, words: str) -> str:
        """Wait for a line with these words; return everything that it printed."""
        await self.line(words)
        return "".join(self.output)

    async def ends(self) -> tuple[int, str]:
        """Its exit status, and everything that it printed."""
        rest, _ = await asyncio.wait_for(self.process.communicate(), ENDING_SECONDS)
        return self.process.returncode or 0, "".join(self.output) + rest.decode()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def serving(folder: Path, *options: str, **environ: str) -> AsyncIterator[tuple[Process, int]]:
    """Run `lmgateway serve` on a free port of 127.0.0.1. Yield the process and its port."""
    command = ("serve", "--host", "127.0.0.1", "--port", "0", *options)
    async with lmgateway(*command, cwd=folder, **environ) as process:
        yield process, await process.port()


@asynccontextmanager
async def lmgateway(
    *arguments: str, cwd: Path, is_covered: bool = True, stdout: int = asyncio.subprocess.PIPE, **environ: str
) -> AsyncIterator[Process]:
    """Run the command in a folder, with no settings in its environment but `environ`.

    Measuring which lines were run takes time and memory, which not every test can spare.
    """
    inherited = ("PATH", "HOME", "COVERAGE_PROCESS_CONFIG") if is_covered else ("PATH", "HOME")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lmgateway",
        *arguments,
        cwd=cwd,
        env=_environment(cwd, inherited) | environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(*arguments: str, cwd: Path, **environ: str) -> tuple[int, str]:
    """Run the command to its end: its exit status, and everything that it printed."""
    async with lmgateway(*arguments, cwd=cwd, **environ) as command:
        return await command.ends()


async def run_here(*arguments: str, cwd: Path, **environ: str) -> tuple[int, str]:
    """Do what run() does in a thread of this process, which saves the imports of a new one.

    One at a time: environment, working directory and output are those of the whole process.
    """
    return await asyncio.to_thread(_run_here, arguments, cwd, _environment(cwd, ("PATH", "HOME")) | environ)


def _run_here(arguments: Sequence[str], cwd: Path, environ: dict[str, str]) -> tuple[int, str]:
    output = io.StringIO()
    with (
        patch.dict(os.environ, environ, clear=True),
        chdir(cwd),
        Path(os.devnull).open() as nothing,
        patch("sys.stdin", nothing),
        redirect_stdout(output),
        redirect_stderr(output),
    ):
        try:
            return main(arguments), output.getvalue()
        except SystemExit as exc:  # of argparse
            return int(exc.code or 0), output.getvalue()


def _environment(cwd: Path, inherited: Iterable[str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in inherited if name in os.environ}
    return {**kept, "XDG_STATE_HOME": str(cwd / "state")}
