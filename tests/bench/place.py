"""Where a benchmark takes place: the fake LM Studio, the cores, a folder for what is left behind."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .accounts import Account, Accounts
from .processes import answers, free_port, running
from .wire import Door


@dataclass(frozen=True)
class Place:
    """`target_core` is the target's own; everybody else is on `other_core`."""

    studio_port: int
    studio: Account
    target_core: int
    other_core: int
    root: Path

    @property
    def studio_url(self) -> str:
        return f"http://127.0.0.1:{self.studio_port}"

    def folder(self, name: str) -> Path:
        """Return a new folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root))


@dataclass(frozen=True)
class Running:
    """A target that answers; `account` is None for LM Studio itself."""

    door: Door
    account: Account | None

    def accounts(self, place: Place) -> Accounts:
        return Accounts(self.account, place.studio)


def _cores() -> tuple[int, int]:
    """Return the target's core and everybody else's: the last two, because the first has the interrupts."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[-1], cores[-2] if len(cores) > 1 else cores[-1]


@asynccontextmanager
async def placed() -> AsyncIterator[Place]:
    """Start the fake LM Studio, and move this process to the core beside the targets'."""
    target_core, other_core = _cores()
    os.sched_setaffinity(0, {other_core})
    # A worker that gives up root's rights must get to its files.
    with tempfile.TemporaryDirectory(prefix="lmgateway-bench-") as name:
        root, port = Path(name), free_port()
        root.chmod(0o755)
        command = (sys.executable, "-m", "tests.bench.fake_studio", str(port))
        log = root / "studio.log"
        async with running(*command, core=other_core, log=log) as process:
            await answers(process, Door(port), log)
            yield Place(port, Account(process.pid), target_core, other_core, root)
