"""LM Studio's log followed on real files, from its end or from its first file."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.boxes.following import FIRST, POLL_SECONDS, SECOND, STAMP, TENTH, Following
from tests.support.process import lmgateway
from tests.support.waiting import until


async def test_it_begins_at_the_end_of_the_newest_file(log: Following):
    """Earlier lines are not published; 10 is newer than 2."""
    log.lines(TENTH, "old", "old")
    log.lines(SECOND, "older")
    log.lines("2025-10/2025-10-31.11.log", "older")
    async with log.run():
        await log.polled()
        log.lines(SECOND, "not the newest")
        log.lines(TENTH, "new")
        await log.receives("new")


async def test_it_begins_inside_of_a_record(log: Following):
    """Lines that go on a record that was there already have its stamp and level."""
    log.write(FIRST, "[2025-11-30 01:02:03][WARN] old\n")
    async with log.run():
        await log.polled()
        log.write(FIRST, "more\n")
        await until(lambda: log.events)
        assert log.events[0][1] == {
            "timestamp": "2025-11-30 01:02:03",
            "level": "WARN",
            "message": "more",
            "raw": "more",
        }


async def test_a_quiet_period_ends_a_record(followed: Following):
    """The last record's values are published without waiting for the next record."""
    followed.lines(FIRST, "Sampling params:\ttop_k = 40\n\ttemp = 0.500")
    await until(lambda: len(followed.events) == 3)
    name, fields = followed.events[-1]
    assert (name, fields["top_k"], fields["temp"]) == ("lmstudio_sampling_params", 40, 0.5)


async def test_a_folder_that_appears_later(log: Following, caplog: pytest.LogCaptureFixture):
    """Its first lines are published; one warning says that it was missing."""
    async with log.run():
        await until(lambda: caplog.records)
        log.lines(FIRST, "a")
        await log.receives("a")
        log.lines(SECOND, "b")
        await log.receives("b")
    assert [record.levelname for record in caplog.records if "followed" in record.message][:1] == ["WARNING"]
    assert len({record.message for record in caplog.records}) == len(caplog.records)


async def test_a_folder_of_old_files_that_appears_later(
    log: Following, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """The old lines of a drive that is mounted later are not published."""
    log.lines("2025-10/2025-10-31.1.log", "older")
    log.lines(FIRST, "old")
    for path in log.directory.glob("*/*.log"):
        os.utime(path, (1e9, 1e9))
    log.directory.rename(tmp_path / "elsewhere")
    async with log.run():
        await until(lambda: caplog.records)
        (tmp_path / "elsewhere").rename(log.directory)
        await log.polled()
        log.lines(FIRST, "new")
        await log.receives("new")


async def test_all_is_deleted(followed: Following):
    """LM Studio's new files are followed, though their numbers begin anew."""
    followed.lines(SECOND, "a")
    await followed.receives("a")
    shutil.rmtree(followed.directory)
    await followed.polled()
    followed.lines(FIRST, "b")
    await followed.receives("b")


async def test_files_that_cannot_be_read(followed: Following, caplog: pytest.LogCaptureFixture):
    """They are reported once, and read as soon as they can be."""
    caplog.set_level(logging.INFO)
    (followed.directory / SECOND).mkdir()
    await until(lambda: caplog.records)
    for number in range(3):
        followed.lines(FIRST, f"a{number}")
        await followed.receives(f"a{number}")
    (followed.directory / SECOND).rmdir()
    await until(lambda: len(caplog.records) > 1)
    followed.lines(SECOND, "b")
    await followed.receives("b")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "2025-11-30.2.log" in caplog.records[0].message
    assert STAMP not in caplog.text


async def test_a_file_that_vanishes_before_it_is_opened(followed: Following):
    """The listing named it, but it isn't there: the next one is read."""
    (followed.directory / SECOND).symlink_to("nowhere")
    followed.lines(TENTH, "a")
    await followed.receives("a")


async def test_a_handle_that_went_stale(followed: Following, monkeypatch: pytest.MonkeyPatch):
    """When a network drive is back, the file is opened again; no line is lost or published twice."""
    (stale,) = (file.fd for file in psutil.Process().open_files() if file.path.endswith(FIRST))
    fstat, failed = os.fstat, asyncio.Event()

    def failing(descriptor: int) -> os.stat_result:
        if descriptor == stale:
            failed.set()
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", failing)
    await until(failed.is_set)
    followed.lines(FIRST, "a")
    await followed.receives("a")


async def test_ten_thousand_lines_at_once(followed: Following):
    """A listener that keeps up gets them all: its queue is shorter than what one file may hold."""
    followed.lines(SECOND, *range(10_000))
    await until(lambda: len(followed.messages) >= 10_000)
    assert followed.messages == [str(number) for number in range(10_000)]
    assert followed.missed == 0


async def test_it_costs_nothing_while_nothing_is_written(log: Following, monkeypatch: pytest.MonkeyPatch):
    """No file is opened or read, and the event loop isn't woken."""
    log.lines(FIRST, *range(10_000))
    log.lines(SECOND, *range(10_000))
    opened: list[str] = []
    path_open = Path.open

    def counting(self: Path, *args: Any, **options: Any) -> Any:
        opened.append(self.name)
        return path_open(self, *args, **options)

    monkeypatch.setattr(Path, "open", counting)
    async with log.run():
        await log.polled(3)
        log.lines(SECOND, "a")
        await log.receives("a")
        await log.polled(3)
        opened.clear()
        loop = asyncio.get_running_loop()
        woken: list[object] = []
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call, **context: woken.append(call))
        process = psutil.Process()
        before = process.io_counters() if hasattr(process, "io_counters") else None
        enough = log.polls + 50
        while log.polls < enough:
            await asyncio.sleep(POLL_SECONDS)
        after = process.io_counters() if hasattr(process, "io_counters") else None
        monkeypatch.undo()
        assert (opened, woken) == ([], [])
        # What is read is /proc, by the two questions.
        assert before is None or after is None or after.read_chars - before.read_chars < 2000


@pytest.mark.parametrize("busy", [False, True])
async def test_nothing_is_left_behind(log: Following, *, busy: bool):
    """Neither a thread nor an open file outlives the task, cancelled while it waits or works."""
    descriptors = psutil.Process().num_fds()
    log.lines(FIRST, "old")
    async with log.run() as task:
        await log.polled()
        if busy:
            log.lines(FIRST, *range(20_000))
            await until(lambda: log.events)
        began = asyncio.get_running_loop().time()
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.get_running_loop().time() - began < 1
    assert len(log.messages) < 20_000
    assert psutil.Process().num_fds() == descriptors


async def test_a_read_that_never_returns_doesnt_block_the_end(tmp_path: Path) -> None:
    """SIGTERM ends the gateway though a network drive never responds."""
    never = tmp_path / "logs" / FIRST
    never.parent.mkdir(parents=True)
    os.mkfifo(never)  # open() blocks until another process opens it for writing
    options = ("--set", "lmstudio.log_monitoring=true", "--set", f"lmstudio.log_dir={tmp_path / 'logs'}")
    async with lmgateway("serve", "--port", "0", *options, cwd=tmp_path) as process:
        await process.port()
        process.send(signal.SIGTERM)
        assert (await process.ends())[0] == 0
