"""kill -9 while keys are made, rotated and revoked: what was answered is in force after the restart."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from lmgateway.access.keys import Keys
from lmgateway.observe.event_stream import Events
from lmgateway.storage.database import Database
from lmgateway.storage.keys import SavedKeys

from .conftest import forking, warnings

# Forks a child for each number that it reads, as test_kill.py does. Four workers of the child make keys with
# that number in their names, rotate each, and revoke every other one. What has returned is printed.
CHANGES_UNTIL_KILLED = """
import asyncio, itertools, os, sys
from pathlib import Path
from lmgateway.access.callers import OWNER
from lmgateway.access.key_settings import check_settings
from lmgateway.schema.keys import KeySettings
from tests.storage.test_keys_kill import keys_in

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def work(keys, prefix):
    settings = check_settings(KeySettings(note="x" * 500), 0.0)
    for number in itertools.count():
        name = f"{prefix}-{number}"
        key, _ = await keys.make(name, settings, by=OWNER)
        say(name, key.secret.id)
        key, _ = await keys.rotate(name, 0.0, by=OWNER)
        say(name, key.secret.id)
        if number % 2:
            await keys.revoke(name, by=OWNER)
            say(name, "revoked")

async def change_for_ever(number):
    say(os.getpid())
    database, keys = await keys_in(Path(sys.argv[1]))
    await asyncio.gather(*(work(keys, f"k{number}.{worker}") for worker in range(4)))

for line in sys.stdin:
    child = os.fork()
    if not child:
        asyncio.run(change_for_ever(int(line)))
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


async def keys_in(folder: Path) -> tuple[Database, Keys]:
    """The keys in a folder's database, which is open."""
    database = Database(folder)
    await database.open()
    keys = Keys(SavedKeys(database), Events(), owner_key=lambda: "x", on_change=lambda _ring: None)
    await keys.restore()
    return database, keys


async def restored_ids(folder: Path) -> dict[str, str]:
    """The ids by name, after the next start."""
    database, keys = await keys_in(folder)
    try:
        assert keys.ring.is_readable
        assert not keys.ring.has_unreadable
        return {name: key.secret.id for name, key in keys.ring.keys.items()}
    finally:
        await database.close()


def check(answered: dict[str, list[str]], ids: dict[str, str]) -> None:
    """Each key is as it was answered last, or as the change that was made then leaves it."""
    for name, states in answered.items():
        now = ids.get(name)
        match len(states):
            case 1:
                assert now is not None, f"{name} was made"
            case 2:
                is_revoked_next = int(name.rpartition("-")[2]) % 2
                assert now == states[1] or (now is None and is_revoked_next), f"{name} was rotated"
            case _:
                assert now is None, f"{name} was revoked"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork, and no SIGKILL")
@pytest.mark.parametrize("kills", [30, pytest.param(300, marks=pytest.mark.long)])
async def test_kill_9_loses_no_change_of_a_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kills: int
) -> None:
    """No made key is gone, no replaced secret and no revoked key is back, and no database is lost."""
    moments, answered = random.Random(7), dict[str, list[str]]()
    async with forking(CHANGES_UNTIL_KILLED, tmp_path) as (send, read_line):
        for kill in range(kills):
            send(b"%d\n" % kill)
            child = int(await read_line())
            # Some while the database is opened, the others amid the changes.
            for _ in range(moments.choice([0, 1, 5, 20, 40])):
                note(answered, await read_line())
            await asyncio.sleep(moments.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            while (line := await read_line()) != b"gone\n":
                note(answered, line)
            check(answered, await restored_ids(tmp_path))
    assert len(answered) > kills
    assert not warnings(caplog)
    assert not list(tmp_path.glob("*.broken*"))


def note(answered: dict[str, list[str]], line: bytes) -> None:
    name, state = line.decode().split()
    answered.setdefault(name, []).append(state)
