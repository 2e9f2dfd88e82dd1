"""What the tests of storage share."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from lmgateway.schema.models import ActiveModel, ActiveModels, DefaultInference
from lmgateway.storage.active_models import SavedActiveModels
from lmgateway.storage.database import Database
from tests.support.waiting import PATIENCE_SECONDS

ONE = ActiveModels(active_model=ActiveModel(model_key="one"))
TWO = ActiveModels(
    active_model=ActiveModel(
        model_key="zwei/ü",
        instance_id="mine",
        default_inference=DefaultInference(temperature=0.5, stop_strings=("\n",)),
    ),
    active_embedding_model=ActiveModel(model_key="embedder"),
)
Mount = Callable[..., None]


@asynccontextmanager
async def opened(folder: Path, **options: float) -> AsyncIterator[SavedActiveModels]:
    """The active models in a folder's database, which is open inside."""
    database = Database(folder, **options)
    await database.open()
    try:
        yield SavedActiveModels(database)
    finally:
        await database.close()


async def saved_in(folder: Path) -> ActiveModels:
    """What the next start loads."""
    async with opened(folder) as saved:
        return await saved.load()


async def save_in(folder: Path, *states: ActiveModels) -> None:
    async with opened(folder) as saved:
        for state in states:
            await saved.save(state)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of ours: asyncio warns as well, of a slow disk."""
    of_ours = (record for record in caplog.records if record.name.startswith("lmgateway."))
    return [record.getMessage() for record in of_ours if record.levelno >= logging.WARNING]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount something until the test ends: `mount(folder, "-t", "tmpfs", "tmpfs")`."""
    with ExitStack() as stack:

        def mount(folder: Path, *arguments: str) -> None:
            folder.mkdir(exist_ok=True)
            command = ["mount", *arguments, str(folder)]
            mounted = subprocess.run(command, capture_output=True, text=True, check=False)
            if mounted.returncode:
                pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)

        yield mount


@pytest.fixture
def make_read_only(mount: Mount) -> Iterator[Callable[[Path], None]]:
    """Have nothing written in a folder until the test ends."""
    with ExitStack() as stack:

        def make_read_only(folder: Path) -> None:
            if os.geteuid() == 0:  # whom permissions don't stop
                mount(folder, "--bind", "-o", "ro", str(folder))
            else:
                folder.chmod(0o500)
                stack.callback(folder.chmod, 0o700)

        yield make_read_only


@asynccontextmanager
async def forking(
    script: str, folder: Path
) -> AsyncIterator[tuple[Callable[[bytes], None], Callable[[], Awaitable[bytes]]]]:
    """Run a script that forks a child for each line that it reads. Yield what sends and what reads a line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(folder)),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    async def read_line() -> bytes:
        return await asyncio.wait_for(stdout.readline(), PATIENCE_SECONDS)

    try:
        yield stdin.write, read_line
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
