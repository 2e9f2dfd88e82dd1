"""A machine with a stand-in for systemd, and a folder in which the gateway was set up."""

from __future__ import annotations

import asyncio
import os
import sys
import tomllib
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from lmgateway.cli.service import program
from lmgateway.cli.service.places import Places, of_machine, of_user
from lmgateway.cli.service.steps import Step
from lmgateway.simulator import Pace, Simulator, serve
from tests.support import fake_systemd
from tests.support.process import Process, lmgateway, run_here

STAND_IN = f'#!/bin/sh\nexec "{sys.executable}" "{fake_systemd.__file__}" "$(basename "$0")" "$@"\n'
# In place of the copy of the program, which one test makes: it takes seconds.
PROGRAM = f'#!/bin/sh\nexec "{sys.executable}" -m lmgateway "$@"\n'


@dataclass
class Machine:
    """`root` takes the place of /, `home` is the user's, and `folder` is where `lmgateway init` was run."""

    root: Path
    home: Path
    folder: Path
    port: int
    studio: str

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def key(self) -> str:
        return str(tomllib.loads(self.config.read_text())["auth"]["api_key"])

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "FAKE_ROOT": str(self.root),
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
        }

    @property
    def system(self) -> Places:
        return of_machine(self.root)

    @property
    def user(self) -> Places:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("HOME", str(self.home))
            patched.setenv("XDG_STATE_HOME", str(self.folder / "state"))
            return of_user()

    @property
    def access(self) -> tuple[str, ...]:
        return ("--url", f"http://127.0.0.1:{self.port}", "--key", self.key)

    async def run(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Run a command in the folder, with the stand-ins on its PATH."""
        return await run_here(*arguments, cwd=self.folder, **self.environ, **environ)

    async def service(self, action: str, *options: str, **environ: str) -> tuple[int, str]:
        return await self.run("service", action, "--root", str(self.root), *options, **environ)

    async def init(self, *options: str) -> None:
        settings = (f"server.port={self.port}", "server.host=127.0.0.1", f"lmstudio.base_url={self.studio}")
        words = [word for setting in settings for word in ("--set", setting)]
        status, output = await self.run("init", *words, *options)
        assert status == 0, output

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Process]:
        """Run `lmgateway serve` in the folder, as its user did so far."""
        async with lmgateway("serve", cwd=self.folder, **self.environ) as process:
            await process.port()
            yield process
            process.process.terminate()
            await process.ends()

    async def systemctl(self, *arguments: str) -> int | None:
        """Do what an administrator does."""
        path = self.root / "bin/systemctl"
        process = await asyncio.create_subprocess_exec(path, *arguments, env=self.environ, stderr=DEVNULL)
        return await process.wait()

    def calls(self) -> list[str]:
        """What systemd was asked for since the last time."""
        file = self.root / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def files(self) -> set[str]:
        """What is on the machine, except for the stand-ins."""
        found = (path for folder in ("etc", "opt", "var") for path in (self.root / folder).rglob("*"))
        return {str(path.relative_to(self.root)) for path in found if path.is_file()}


@pytest.fixture
async def machine(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Machine]:
    """A machine on which `lmgateway init` was run."""
    root, home, folder = (tmp_path / name for name in ("root", "home", "folder"))
    for place in (root / "run/systemd/system", root / "bin", home, folder):
        place.mkdir(parents=True)
    for name in ("systemctl", "journalctl", "loginctl"):
        (root / "bin" / name).write_text(STAND_IN)
        (root / "bin" / name).chmod(0o755)
    monkeypatch.setattr(program, "copying", _copying)
    async with serve(Simulator(pace=Pace.instant()), "127.0.0.1", 0) as studio:
        # After LM Studio has its own.
        port = unused_tcp_port_factory()
        made = Machine(root, home, folder, port, f"http://127.0.0.1:{studio}")
        await made.init()
        yield made
    for file in root.glob("run/fake/*/*.pid"):
        end(int(file.read_text()))


def end(pid: int) -> None:
    try:
        process = psutil.Process(pid)
        process.kill()
        process.wait(fake_systemd.ENDING_SECONDS)
    except psutil.NoSuchProcess:
        pass


def _copying(places: Places) -> Iterator[Step]:
    def act() -> None:
        (places.program / "bin").mkdir(parents=True, exist_ok=True)
        (places.program / "pyvenv.cfg").touch()
        script = places.program / "bin/lmgateway"
        script.write_text(PROGRAM)
        script.chmod(0o755)

    yield Step(f"copy the program to {places.program}", act)
