"""kill -9 at any moment loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from lmgateway.schema.models import ActiveModel, ActiveModels, DefaultInference
from tests.storage.conftest import saved_in, warnings

# Forks a child for each number that it reads: importing the gateway each time would take minutes. The child
# saves states of ever higher numbers, beginning with that one, and prints each when its save has returned.
SAVES_UNTIL_KILLED = """
import asyncio, itertools, os, sys
from pathlib import Path
from tests.storage.conftest import opened
from tests.storage.test_kill import state

def say(number):
    os.write(1, b"%d\\n" % number)

async def save_for_ever(first):
    say(os.getpid())
    async with opened(Path(sys.argv[1])) as saved:
        for number in itertools.count(first):
            await saved.save(state(number))
            say(number)

for line in sys.stdin:
    child = os.fork()
    if not child:
        asyncio.run(save_for_ever(int(line)))
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


def state(number: int) -> ActiveModels:
    """Of all sizes, and so that half of one is none."""
    model = ActiveModel(
        model_key=str(number),
        default_inference=DefaultInference(stop_strings=("x" * 500,) * (number % 40)),
    )
    return ActiveModels(active_model=model, active_embedding_model=model)


def number_of(active: ActiveModels) -> int:
    assert active.active_model is not None
    number = int(active.active_model.model_key)
    assert active == state(number)
    return number


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork, and no SIGKILL")
@pytest.mark.parametrize("kills", [30, pytest.param(300, marks=pytest.mark.long)])
async def test_kill_9_never_loses_the_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kills: int
) -> None:
    """The state is the last one whose save returned, or the one that was being saved."""
    moments, latest = random.Random(9), 0
    saver = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SAVES_UNTIL_KILLED,
        str(tmp_path),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert saver.stdin is not None
    assert saver.stdout is not None
    try:
        for _ in range(kills):
            saver.stdin.write(b"%d\n" % (latest + 1))
            child = int(await asyncio.wait_for(saver.stdout.readline(), 20))
            acknowledged = latest
            # One in three while the database is opened, and the others while it is written.
            if moments.random() > 1 / 3:
                acknowledged = int(await asyncio.wait_for(saver.stdout.readline(), 20))
            await asyncio.sleep(moments.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            while (line := await asyncio.wait_for(saver.stdout.readline(), 5)) != b"gone\n":
                acknowledged = int(line)
            active = await saved_in(tmp_path)
            latest = number_of(active) if active != ActiveModels() else 0
            assert latest in (acknowledged, acknowledged + 1)
    finally:
        os.killpg(saver.pid, signal.SIGKILL)
        await saver.communicate()
    assert latest > kills / 2
    assert not warnings(caplog)
