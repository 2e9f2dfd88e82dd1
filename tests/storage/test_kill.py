"""kill -9 at any moment loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from lmgateway.observe.faults import Faults
from lmgateway.observe.model_labels import ModelLabels
from lmgateway.schema.models import ActiveModel, ActiveModels, DefaultInference, LoadConfig
from lmgateway.simulator import Pace, Simulator
from lmgateway.storage.database import Database
from lmgateway.storage.ledger import Ledger
from lmgateway.storage.residency import BoxInstance, ResidencyRows, SavedOrigin, SavedResidency
from lmgateway.storage.usage import SavedUsage
from tests.storage.conftest import forking, saved_in, warnings
from tests.support.process import serving
from tests.support.studio import running_studio

# Forks a child for each number that it reads: importing the gateway each time would take minutes. The child
# saves states of ever higher numbers, beginning with that one, and counts a request with each of them. It
# prints each number when all of it is saved.
SAVES_UNTIL_KILLED = """
import asyncio, itertools, os, sys
from pathlib import Path
from lmgateway.storage.active_models import SavedActiveModels
from lmgateway.storage.database import Database
from lmgateway.storage.residency import SavedResidency
from tests.storage.test_kill import ledger_of, loads, state

def say(number):
    os.write(1, b"%d\\n" % number)

async def save_for_ever(first):
    say(os.getpid())
    database = Database(Path(sys.argv[1]))
    await database.open()
    saved, residency, ledger = SavedActiveModels(database), SavedResidency(database), ledger_of(database)
    for number in itertools.count(first):
        ledger.refused("alice")
        await asyncio.gather(saved.save(state(number)), residency.save(loads(number)), ledger.close())
        say(number)

for line in sys.stdin:
    child = os.fork()
    if not child:
        asyncio.run(save_for_ever(int(line)))
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


def ledger_of(database: Database) -> Ledger:
    async def list_names() -> None:
        pass

    labels = ModelLabels(lambda _: False, list_names, Faults())
    return Ledger(SavedUsage(database), labels, model_of=str, keep_days=lambda: 400)


def counted_in(folder: Path, count: str) -> int:
    """The sum that another program finds."""
    with closing(sqlite3.connect(folder / "lmgateway.db")) as other:
        number: int = other.execute(f"SELECT coalesce(sum({count}), 0) FROM usage").fetchone()[0]
    return number


def state(number: int) -> ActiveModels:
    """Of all sizes, and so that half of one is none."""
    model = ActiveModel(
        model_key=str(number),
        default_inference=DefaultInference(stop_strings=("x" * 500,) * (number % 40)),
    )
    return ActiveModels(active_model=model, active_embedding_model=model)


def loads(number: int) -> ResidencyRows:
    """One row of each table, which are saved together."""
    row = SavedOrigin(str(number), "loaded", 1.0)
    return ResidencyRows({BoxInstance("box", "one"): row}, {"model": LoadConfig(context_length=number)})


async def last_load_in(folder: Path) -> int:
    """The number of the loads that the next start finds, 0 if there are none."""
    database = Database(folder)
    await database.open()
    found = await SavedResidency(database).load()
    await database.close()
    if not any(found):
        return 0
    number = found.settings["model"].context_length
    assert number is not None
    assert found == loads(number)
    return number


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
    """The state is the last one whose save returned, or the one that was being saved; so are the others."""
    moments, latest, loaded, counted = random.Random(9), 0, 0, 0
    async with forking(SAVES_UNTIL_KILLED, tmp_path) as (send, read_line):
        for _ in range(kills):
            send(b"%d\n" % (latest + 1))
            child = int(await read_line())
            acknowledged = before = latest
            # One in three while the database is opened, and the others while it is written.
            if moments.random() > 1 / 3:
                acknowledged = int(await read_line())
            await asyncio.sleep(moments.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            while (line := await read_line()) != b"gone\n":
                acknowledged = int(line)
            active = await saved_in(tmp_path)
            latest = number_of(active) if active != ActiveModels() else 0
            assert latest in (acknowledged, acknowledged + 1)
            earlier = acknowledged if acknowledged > before else loaded
            loaded = await last_load_in(tmp_path)
            assert loaded in (earlier, acknowledged + 1)
            counts, counted = counted_in(tmp_path, "refused") - counted, counted_in(tmp_path, "refused")
            assert counts in (acknowledged - before, acknowledged - before + 1)
    assert latest > kills / 2
    assert not warnings(caplog)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
async def test_kill_9_loses_no_count_that_was_written(tmp_path: Path, kills: int) -> None:
    """Each is counted once, and nothing that wasn't sent. test_ledger.py has how soon they are written."""
    moments, counted, folder = random.Random(9), 0, tmp_path / "state" / "lmgateway"
    simulator = Simulator(pace=Pace.instant())
    simulator.load("qwen2.5-7b-instruct")
    body = {"model": "qwen2.5-7b-instruct", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    async with running_studio(simulator) as studio, aiohttp.ClientSession() as client:
        for _ in range(kills):
            writes = written = sent = 0
            async with serving(tmp_path, "--set", f"lmstudio.base_url={studio.base_url}") as (process, port):
                url, more = f"http://127.0.0.1:{port}/v1/chat/completions", moments.randrange(100)
                # Killed at any moment after its second write.
                while writes < 2 or (more := more - 1) > 0:
                    async with client.post(url, json=body) as response:
                        assert response.status == 200
                        await response.read()
                    sent += 1
                    before, written = written, counted_in(folder, "requests") - counted
                    writes += written > before
                process.send(signal.SIGKILL)
                await process.ends()
            new = counted_in(folder, "requests") - counted
            assert written <= new <= sent
            counted += new
    assert counted_in(folder, "untold") == 0
