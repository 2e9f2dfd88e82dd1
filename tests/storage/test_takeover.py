"""The state file of earlier versions is taken over, once, whatever is in it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lmgateway.schema.models import ActiveModels
from tests.storage.conftest import ONE, TWO, files, save_in, saved_in, warnings

GOOD = b'{"version":1,"active":{"activeModel":{"modelKey":"one"}}}'
BEFORE = (
    '{"version":1,"active":{"activeModel":{"modelKey":"zwei/ü","instanceId":"mine","defaultInference":'
    '{"temperature":0.5,"stopStrings":["\\n"]}},"activeEmbeddingModel":{"modelKey":"embedder"}}}'
).encode()
DATABASE = "lmgateway.db"
# Kills itself where argv[2] says.
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from lmgateway.storage import legacy_state_file
from lmgateway.storage.database import Database

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(legacy_state_file, sys.argv[2], die)
asyncio.run(Database(Path(sys.argv[1])).open())
"""


async def test_the_state_file_is_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first start with a database loads its active models; the files are renamed."""
    (tmp_path / "state.json").write_bytes(BEFORE)
    (tmp_path / "state.previous.json").write_bytes(GOOD)
    assert await saved_in(tmp_path) == TWO
    assert files(tmp_path).items() >= {
        ("state.json.taken-over", BEFORE),
        ("state.previous.json.taken-over", GOOD),
    }
    assert not (tmp_path / "state.json").exists()
    assert not warnings(caplog)


async def test_it_is_taken_over_once(tmp_path: Path) -> None:
    """A state file that is restored from a backup doesn't overwrite later changes."""
    (tmp_path / "state.json").write_bytes(BEFORE)
    await save_in(tmp_path, ONE)
    (tmp_path / "state.json").write_bytes(BEFORE)
    assert await saved_in(tmp_path) == ONE
    assert set(files(tmp_path)) == {DATABASE, "state.json.taken-over"}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("step", ["read", "retire"])
async def test_killed_while_it_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    """Before the commit it is repeated, after it never."""
    (tmp_path / "state.json").write_bytes(BEFORE)
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path), step, cwd=Path(__file__).parents[2]
    )
    assert await asyncio.wait_for(killed.wait(), 20) == -signal.SIGKILL
    assert (tmp_path / "state.json").read_bytes() == BEFORE
    if step == "retire":
        (tmp_path / "state.json").write_bytes(GOOD)
    assert await saved_in(tmp_path) == TWO
    assert not warnings(caplog)


async def test_a_read_only_folder_still_has_its_state_file(
    tmp_path: Path, make_read_only: Callable[[Path], None]
) -> None:
    """A state file that can't be taken over yet is used."""
    (tmp_path / "state.json").write_bytes(BEFORE)
    make_read_only(tmp_path)
    assert await saved_in(tmp_path) == TWO
    assert files(tmp_path) == {"state.json": BEFORE}


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
async def test_corrupt_state_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """The previous copy is taken over, with one warning; the broken file is renamed."""
    (tmp_path / "state.json").write_bytes(content)
    (tmp_path / "state.previous.json").write_bytes(GOOD)
    assert await saved_in(tmp_path) == ONE
    (aside,) = tmp_path.glob("*.broken")
    assert aside.read_bytes() == content
    (warning,) = warnings(caplog)
    assert "state.json" in warning
    assert aside.name in warning
    assert await saved_in(tmp_path) == ONE
    assert len(warnings(caplog)) == 1


async def test_nothing_left_to_take_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the previous copy is corrupt too, the gateway starts without state, and can save."""
    for name in ("state.json", "state.previous.json"):
        (tmp_path / name).write_bytes(b"?")
    assert await saved_in(tmp_path) == ActiveModels()
    assert len(warnings(caplog)) == len(list(tmp_path.glob("*.broken"))) == 2
    await save_in(tmp_path, TWO)
    assert await saved_in(tmp_path) == TWO
