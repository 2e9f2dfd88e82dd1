"""What is remembered across restarts, whatever happens to the file."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from lmgateway.errors import StateNotSaved
from lmgateway.schema.models import ActiveModel, ActiveModels, DefaultInference
from lmgateway.storage.state_file import StateFile

ONE = ActiveModels(active_model=ActiveModel(model_key="one"))
TWO = ActiveModels(
    active_model=ActiveModel(
        model_key="zwei/ü",
        instance_id="mine",
        default_inference=DefaultInference(temperature=0.5, stop_strings=("\n",)),
    ),
    active_embedding_model=ActiveModel(model_key="embedder"),
)
LARGE = ActiveModels(active_model=ActiveModel(model_key="m" * 1_000_000))  # more than a pipe takes at once
GOOD = b'{"version":1,"active":{"activeModel":{"modelKey":"one"}}}'
FEW_KILLS, MANY_KILLS = 30, 300
# Forks a child for each line that it reads: importing the gateway 300 times would take minutes.
SAVES_UNTIL_KILLED = """
import asyncio, os, sys
from lmgateway.storage.state_file import StateFile
from tests.storage.test_state_file import ONE, TWO

async def save_for_ever():
    file = StateFile(sys.argv[1])
    await file.save(ONE)
    print(os.getpid(), flush=True)
    while True:
        await file.save(TWO)
        await file.save(ONE)

for _ in sys.stdin:
    child = os.fork()
    if not child:
        asyncio.run(save_for_ever())
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of the state file itself: asyncio warns as well, of a slow disk."""
    of_ours = (record for record in caplog.records if record.name.startswith("lmgateway."))
    return [record.getMessage() for record in of_ours if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("state", [ActiveModels(), ONE, TWO], ids=["nothing active", "one", "everything"])
async def test_what_was_saved_is_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, state: ActiveModels
) -> None:
    """A restart finds the active models with all their parameters; folders are made as needed."""
    folder = str(tmp_path / "not" / "there yet")
    await StateFile(folder).save(TWO)
    await StateFile(folder).save(state)
    assert StateFile(folder).load() == state
    assert not warnings(caplog)


def test_first_start_is_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Having saved nothing yet is no fault, and reading makes no folder."""
    assert StateFile(str(tmp_path / "new")).load() == ActiveModels()
    assert not warnings(caplog)
    assert not (tmp_path / "new").exists()


CORRUPT = [
    pytest.param(b"{nonsense", id="no JSON"),
    pytest.param(GOOD[:-3], id="truncated"),
    pytest.param(b"", id="empty"),
    pytest.param(bytes(len(GOOD)), id="zeros, as after a power cut"),
    pytest.param(GOOD.replace(b"one", b"\xff"), id="no UTF-8"),
    pytest.param(b"[1]", id="an array"),
    pytest.param(b'{"version":1}', id="nothing in it"),
    pytest.param(GOOD.replace(b'"one"', b"1"), id="wrong type"),
    pytest.param(GOOD.replace(b'"version":1', b'"version":2'), id="of a later gateway"),
    pytest.param(b'{"x":' + b"[" * 100_000, id="nested too deep"),
]


@pytest.mark.parametrize("content", CORRUPT)
async def test_corrupt_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """The gateway starts with the copy before, warns once, and keeps the broken file for whoever wonders."""
    file = StateFile(str(tmp_path))
    await file.save(ONE)
    await file.save(TWO)
    (tmp_path / "state.json").write_bytes(content)
    assert file.load() == ONE
    (aside,) = tmp_path.glob("*.broken")
    assert aside.read_bytes() == content
    (warning,) = warnings(caplog)
    assert "state.json" in warning
    assert aside.name in warning
    assert file.load() == ONE
    assert len(warnings(caplog)) == 1


async def test_nothing_left_to_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the copy before corrupt as well, the gateway starts afresh, and can save again."""
    file = StateFile(str(tmp_path))
    for name in ("state.json", "state.previous.json"):
        (tmp_path / name).write_bytes(b"?")
    assert file.load() == ActiveModels()
    assert len(warnings(caplog)) == len(list(tmp_path.glob("*.broken"))) == 2
    await file.save(TWO)
    assert file.load() == TWO


@pytest.mark.parametrize("name", ["state.new", "state.previous.new"])
@pytest.mark.parametrize(
    ("reason", "obstruct"),
    [
        pytest.param("No space left", lambda path: path.symlink_to("/dev/full"), id="disk full"),
        pytest.param("Is a directory", Path.mkdir, id="not writable"),
    ],
)
async def test_failed_save_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, reason: str, obstruct: object
) -> None:
    """Whoever asked is told why and what to do; the old state is still there, and later saves work."""
    file = StateFile(str(tmp_path))
    await file.save(TWO)
    await file.save(ONE)
    assert callable(obstruct)
    obstruct(tmp_path / name)
    with pytest.raises(StateNotSaved, match=r"Make the folder writable, or set server\.state_dir") as raised:
        await file.save(TWO)
    assert str(tmp_path) in raised.value.message
    assert reason in raised.value.message or name == "state.previous.new"
    assert file.load() == ONE
    assert ["can't be saved in" in warning for warning in warnings(caplog)] == [True]
    obstacle = tmp_path / name
    obstacle.rmdir() if obstacle.is_dir() else obstacle.unlink()
    await file.save(TWO)
    assert file.load() == TWO


async def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """A state folder below a file, as an unwritable one: nothing is remembered, and saving says so."""
    (tmp_path / "file").touch()
    file = StateFile(str(tmp_path / "file" / "state"))
    assert file.load() == ActiveModels()
    with pytest.raises(StateNotSaved, match="Not a directory"):
        await file.save(ONE)


async def test_last_of_many_saves_stays(tmp_path: Path) -> None:
    """Saves that come together are made in the order in which they were asked for."""
    file = StateFile(str(tmp_path))
    states = [ActiveModels(active_model=ActiveModel(model_key=f"m{number}")) for number in range(50)]
    await asyncio.gather(*map(file.save, states))
    assert file.load() == states[-1]


async def test_save_whose_caller_left_ends_before_the_next(tmp_path: Path) -> None:
    """A cancelled save still writes; the next one waits for it, and neither spoils the other."""
    pipe = tmp_path / "state.new"  # whatever is written to a pipe waits until somebody reads it
    os.mkfifo(pipe)
    file = StateFile(str(tmp_path))
    given_up = asyncio.create_task(file.save(LARGE))
    reader = await asyncio.wait_for(asyncio.to_thread(os.open, pipe, os.O_RDONLY), 5)
    try:
        given_up.cancel()
        pipe.unlink()
        following = asyncio.create_task(file.save(TWO))
        ended, _ = await asyncio.wait({following}, timeout=0.3)
        assert not ended
    finally:
        os.close(reader)
    await asyncio.gather(given_up, following, return_exceptions=True)
    assert file.load() == TWO


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork, and no SIGKILL")
@pytest.mark.parametrize("kills", [FEW_KILLS, pytest.param(MANY_KILLS, marks=pytest.mark.long)])
async def test_kill_9_never_loses_the_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kills: int
) -> None:
    """Killed at any moment of a save, it leaves the old state or the new one."""
    moments, found = random.Random(9), []
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
            saver.stdin.write(b"\n")
            child = int(await asyncio.wait_for(saver.stdout.readline(), 20))
            await asyncio.sleep(moments.uniform(0, 0.005))
            os.kill(child, signal.SIGKILL)
            assert await asyncio.wait_for(saver.stdout.readline(), 5) == b"gone\n"
            found.append(StateFile(str(tmp_path)).load())
    finally:
        os.killpg(saver.pid, signal.SIGKILL)
        await saver.communicate()
    assert all(state in (ONE, TWO) for state in found)
    if kills == MANY_KILLS:  # on a slow disk a few may all come before the second save
        assert ONE in found
        assert TWO in found
    assert not warnings(caplog)


def test_a_folder_that_cant_be_written_is_warned_of_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not only when somebody has loaded a model that is to be active."""
    (tmp_path / "file").write_text("")
    assert StateFile(str(tmp_path / "file" / "state")).load() == ActiveModels()
    assert "can't be remembered" in warnings(caplog)[0]
