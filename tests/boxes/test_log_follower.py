"""LM Studio's log followed on real files, while they grow, change and vanish."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest

from lmgateway.boxes.log.follower import LogFollower
from lmgateway.observe.event_stream import Events
from lmgateway.simulator import Pace, Simulator
from tests.support.process import lmgateway
from tests.support.studio import running_studio
from tests.support.waiting import until

STAMP = "[2025-11-30 20:33:33][INFO]"
FIRST, SECOND, TENTH = ("2025-11/2025-11-30.1.log", "2025-11/2025-11-30.2.log", "2025-11/2025-11-30.10.log")
NEXT_MONTH = "2025-12/2025-12-01.1.log"
POLL_SECONDS = 0.01
THREAD = "lmstudio-log"


class Following:
    """A folder of logs, and what is told of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.missed = 0
        self.looks = 0

    def write(self, name: str, text: str, mode: str = "a") -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)

    def lines(self, name: str, *messages: object, mode: str = "a") -> None:
        self.write(name, "".join(f"{STAMP} {message}\n" for message in messages), mode)

    @property
    def messages(self) -> list[str]:
        return [fields["message"] for name, fields in self.told if name == "debug_log"]

    async def expect(self, *messages: str) -> None:
        """Wait for as many lines, and take them."""
        await until(lambda: len(self.messages) >= len(messages))
        assert self.messages == list(messages)
        self.told.clear()

    async def looked(self, times: int = 1) -> None:
        """Wait until the follower has looked at everything as it is now, and found nothing to tell."""
        # The first listing from now on may belong to a look that began before.
        enough = self.looks + 1 + times
        await until(lambda: self.looks >= enough)
        assert self.told == []

    @asynccontextmanager
    async def run(self) -> AsyncIterator[asyncio.Task[None]]:
        events = Events()
        with events.subscribe() as subscription:

            async def listen() -> None:
                while (batch := await subscription.next()) is not None:
                    self.missed += subscription.take_missed()
                    self.told += [
                        (published.name, msgspec.json.decode(published.frame.partition(b"data: ")[2]))
                        for published in batch.events
                    ]

            listening = asyncio.create_task(listen())
            follower = LogFollower(self.directory, events, poll_seconds=POLL_SECONDS)
            task = asyncio.create_task(follower.run())
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.wait([task])
                events.close()
                await listening
            assert task.cancelled()
            await until(lambda: THREAD not in {thread.name for thread in threading.enumerate()})


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Following:
    following, listdir = Following(tmp_path / "server-logs"), os.listdir

    def counting(path: Any = ".") -> Any:
        following.looks += path == following.directory
        return listdir(path)

    monkeypatch.setattr(os, "listdir", counting)
    return following


@pytest.fixture
async def followed(log: Following) -> AsyncIterator[Following]:
    """A log that has a file, followed from its end."""
    log.lines(FIRST, "old")
    async with log.run():
        await log.looked()
        yield log


async def test_it_begins_at_the_end_of_the_newest_file(log: Following):
    """What was there before isn't told; 10 comes after 2."""
    log.lines(TENTH, "old", "old")
    log.lines(SECOND, "older")
    log.lines("2025-10/2025-10-31.11.log", "older")
    async with log.run():
        await log.looked()
        log.lines(SECOND, "not the newest")
        log.lines(TENTH, "new")
        await log.expect("new")


async def test_it_begins_inside_of_a_record(log: Following):
    """Lines that go on a record that was there already have its stamp and level."""
    log.write(FIRST, "[2025-11-30 01:02:03][WARN] old\n")
    async with log.run():
        await log.looked()
        log.write(FIRST, "more\n")
        await until(lambda: log.told)
        assert log.told[0][1] == {
            "timestamp": "2025-11-30 01:02:03",
            "level": "WARN",
            "message": "more",
            "raw": "more",
        }


async def test_a_line_in_pieces(followed: Following):
    """A line is told when it is whole, though it was written in the middle of a character."""
    data = f"{STAMP} a line in 日本 pieces\n".encode()
    path = followed.directory / FIRST
    for byte in data:
        with path.open("ab") as file:
            file.write(bytes([byte]))
        await asyncio.sleep(0)
    await followed.expect("a line in 日本 pieces")


async def test_the_end_of_a_record_is_known_by_the_quiet(followed: Following):
    """The last record's values are told without waiting for the next record."""
    followed.lines(FIRST, "Sampling params:\ttop_k = 40\n\ttemp = 0.500")
    await until(lambda: len(followed.told) == 3)
    name, fields = followed.told[-1]
    assert (name, fields["top_k"], fields["temp"]) == ("lmstudio_sampling_params", 40, 0.5)


async def test_rotation_within_a_day(followed: Following):
    """The rest of a file comes before the next file, and so do all files in between."""
    followed.lines(FIRST, "a", "b")
    followed.write(FIRST, f"{STAMP} without an end")
    followed.lines(SECOND, "c")
    followed.lines("2025-11/2025-11-30.3.log", "d")
    followed.lines(TENTH, "e")
    followed.lines("2025-11/notes.log", "not LM Studio's")
    await followed.expect("a", "b", "without an end", "c", "d", "e")
    followed.lines(TENTH, "f")
    await followed.expect("f")


async def test_a_last_line_just_before_a_rotation(followed: Following, monkeypatch: pytest.MonkeyPatch):
    """A line written after the old file's end was seen, and before the new file was, is told."""
    listdir, written = os.listdir, asyncio.Event()

    def late(path: Any = ".") -> Any:
        if path == followed.directory and not written.is_set():
            written.set()
            followed.lines(FIRST, "last")
            followed.lines(SECOND, "first")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", late)
    await followed.expect("last", "first")


async def test_a_record_goes_on_in_the_next_file(followed: Following):
    """Unstamped lines at a file's beginning belong to the last record of the one before."""
    followed.lines(FIRST, "Sampling params:\ttop_k = 40")
    followed.write(SECOND, "\ttemp = 0.500\n")
    await until(lambda: followed.told and followed.told[-1][0] == "lmstudio_sampling_params")
    assert followed.told[-1][1].keys() == {"timestamp", "top_k", "temp"}


async def test_the_change_of_month(followed: Following):
    """It is told between the last line of the old month and the first one of the new."""
    followed.lines(FIRST, "last")
    followed.lines(SECOND, "very last")
    followed.lines(NEXT_MONTH, "first")
    followed.lines("2026-01/2026-01-01.1.log", "year's first")
    await until(lambda: len(followed.told) == 6)
    assert [fields.get("message", name) for name, fields in followed.told] == [
        "last",
        "very last",
        "lmstudio_month_transition",
        "first",
        "lmstudio_month_transition",
        "year's first",
    ]
    told = followed.told[2][1]
    assert told.pop("timestamp").endswith("Z")
    assert told == {
        "oldDirectory": str(followed.directory / "2025-11"),
        "newDirectory": str(followed.directory / "2025-12"),
        "newLogFile": str(followed.directory / NEXT_MONTH),
    }


async def test_a_new_month_that_has_no_file_yet(followed: Following):
    """The old month is followed until the new one has something to read."""
    (followed.directory / "2025-12").mkdir()
    followed.lines(FIRST, "a")
    await followed.expect("a")
    followed.lines(NEXT_MONTH, "b")
    await until(lambda: followed.messages == ["b"])


@pytest.mark.parametrize("count", [1, 200])
async def test_truncation(followed: Following, count: int):
    """An emptied file is read from its beginning, though it has grown beyond its old size meanwhile."""
    followed.lines(FIRST, *(f"a{number}" for number in range(100)))
    await followed.expect(*(f"a{number}" for number in range(100)))
    again = [f"b{number}" for number in range(count)]
    followed.lines(FIRST, *again, mode="w")
    await followed.expect(*again)


async def test_truncation_in_the_middle_of_a_line(followed: Following):
    """What was there of the line is told, and nothing of it is mixed with what comes."""
    followed.write(FIRST, f"{STAMP} without an end")
    await followed.looked()
    followed.lines(FIRST, "a", mode="w")
    await followed.expect("without an end", "a")


async def test_truncation_to_the_same_size(followed: Following):
    """Other lines of the same length are noticed, too."""
    followed.lines(FIRST, "a", mode="w")
    await followed.expect("a")
    followed.lines(FIRST, "b", mode="w")
    await followed.expect("b")


async def test_a_file_is_replaced_by_another(followed: Following, tmp_path: Path):
    """A new file of the same name is read from its beginning, after the rest of the old one."""
    followed.lines(FIRST, "a")
    await followed.expect("a")
    followed.lines("new", *(f"b{number}" for number in range(100)))
    (followed.directory / "new").replace(followed.directory / FIRST)
    await followed.expect(*(f"b{number}" for number in range(100)))


async def test_a_file_is_replaced_by_its_own_copy(followed: Following):
    """A program that copies a growing log puts a new file in its place each time: nothing is told twice."""
    for message in ("a", "b", "c"):
        shutil.copyfile(followed.directory / FIRST, followed.directory / "copy")
        followed.lines("copy", message)
        (followed.directory / "copy").replace(followed.directory / FIRST)
        await followed.expect(message)


async def test_a_folder_that_appears_later(log: Following, caplog: pytest.LogCaptureFixture):
    """Its first lines are told, and that it wasn't there is said once."""
    async with log.run():
        await until(lambda: caplog.records)
        log.lines(FIRST, "a")
        await log.expect("a")
        log.lines(SECOND, "b")
        await log.expect("b")
    assert [record.levelname for record in caplog.records if "followed" in record.message][:1] == ["WARNING"]
    assert len({record.message for record in caplog.records}) == len(caplog.records)


async def test_an_empty_folder(log: Following):
    """The first file that appears is read from its beginning."""
    log.directory.mkdir()
    async with log.run():
        await log.looked()
        log.lines(FIRST, "a")
        await log.expect("a")


async def test_a_folder_of_old_files_that_appears_later(
    log: Following, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """A drive that is mounted later brings its history; that isn't news."""
    log.lines("2025-10/2025-10-31.1.log", "older")
    log.lines(FIRST, "old")
    for path in log.directory.glob("*/*.log"):
        os.utime(path, (1e9, 1e9))
    log.directory.rename(tmp_path / "elsewhere")
    async with log.run():
        await until(lambda: caplog.records)
        (tmp_path / "elsewhere").rename(log.directory)
        await log.looked()
        log.lines(FIRST, "new")
        await log.expect("new")


async def test_all_is_deleted(followed: Following):
    """LM Studio's new files are followed, though their numbers begin anew."""
    followed.lines(SECOND, "a")
    await followed.expect("a")
    shutil.rmtree(followed.directory)
    await followed.looked()
    followed.lines(FIRST, "b")
    await followed.expect("b")


async def test_files_that_cannot_be_read(followed: Following, caplog: pytest.LogCaptureFixture):
    """It is said once, and they are read when they can be."""
    caplog.set_level(logging.INFO)
    (followed.directory / SECOND).mkdir()
    await until(lambda: caplog.records)
    for number in range(3):
        followed.lines(FIRST, f"a{number}")
        await followed.expect(f"a{number}")
    (followed.directory / SECOND).rmdir()
    await until(lambda: len(caplog.records) > 1)
    followed.lines(SECOND, "b")
    await followed.expect("b")
    told = [(record.levelname, record.message) for record in caplog.records]
    assert [level for level, _ in told] == ["WARNING", "INFO"]
    assert "2025-11-30.2.log" in told[0][1]
    assert STAMP not in caplog.text


async def test_a_file_that_vanishes_before_it_is_opened(followed: Following):
    """The listing named it, but it isn't there: the next one is read."""
    (followed.directory / SECOND).symlink_to("nowhere")
    followed.lines(TENTH, "a")
    await followed.expect("a")


async def test_a_handle_that_went_stale(followed: Following, monkeypatch: pytest.MonkeyPatch):
    """After a network drive's return the file is opened again, and nothing is lost or told twice."""
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
    await followed.expect("a")


async def test_ten_thousand_lines(followed: Following):
    """While they are written over a rotation, a truncation and a month's change, none is lost or doubled."""
    names = [FIRST, SECOND, SECOND, NEXT_MONTH]
    for phase, name in enumerate(names):
        if name == names[phase - 1]:
            # What is cut off before anybody could read it is gone.
            await until(lambda: len(followed.messages) == 5000)
        for start in range(0, 2500, 50):
            mode = "w" if start == 0 else "a"
            mode = "a" if phase == 0 else mode
            followed.lines(name, *(f"line {2500 * phase + start + at}" for at in range(50)), mode=mode)
            await asyncio.sleep(0)
    await until(lambda: len(followed.messages) >= 10_000)
    assert followed.messages == [f"line {number}" for number in range(10_000)]
    assert len(followed.told) == 10_001
    assert followed.missed == 0


async def test_ten_thousand_lines_at_once(followed: Following):
    """A listener that keeps up gets them all: its queue is shorter than what one file may hold."""
    followed.lines(SECOND, *range(10_000))
    await until(lambda: len(followed.messages) >= 10_000)
    assert followed.messages == [str(number) for number in range(10_000)]
    assert followed.missed == 0


async def test_the_simulators_log(log: Following):
    """What LM Studio writes about a generation is told line by line, over rotations, with every event."""
    log.directory.mkdir()
    simulator = Simulator(pace=Pace.instant(), log_dir=log.directory)
    async with running_studio(simulator) as studio, log.run():
        await log.looked()
        simulator.log.rotate_bytes = 500
        simulator.load("qwen2.5-7b-instruct")
        async with aiohttp.ClientSession(studio.base_url) as client:
            for _ in range(3):
                body = {"model": "qwen2.5-7b-instruct", "messages": [{"role": "user", "content": "hello"}]}
                async with client.post("/v1/chat/completions", json=body) as response:
                    assert response.status == 200
        paths = sorted(log.directory.glob("*/*.log"), key=lambda path: path.stat().st_mtime_ns)
        assert len(paths) > 3
        lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
        await until(lambda: len(log.messages) >= len(lines))
        await until(lambda: log.told[-1][0] == "lmstudio_prompt_progress")
    assert sorted(fields["raw"] for name, fields in log.told if name == "debug_log") == sorted(lines)
    counts = {name: sum(told == name for told, _ in log.told) for name, _ in log.told}
    counts = {name: count for name, count in counts.items() if name != "lmstudio_prompt_progress"}
    assert counts == {
        "debug_log": len(lines),
        "lmstudio_chat_start": 3,
        "lmstudio_sampling_params": 3,
        "lmstudio_token_info": 3,
        "lmstudio_cache_stats": 3,
        "lmstudio_processing_start": 3,
    }
    for name, fields in log.told:
        if name == "lmstudio_token_info":
            assert fields.keys() == {
                *("timestamp", "n_ctx", "n_batch", "n_predict", "n_keep"),
                *("totalPromptTokens", "promptTokensToDecode"),
            }


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
        await log.looked(3)
        log.lines(SECOND, "a")
        await log.expect("a")
        await log.looked(3)
        opened.clear()
        loop = asyncio.get_running_loop()
        woken: list[object] = []
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call, **context: woken.append(call))
        process = psutil.Process()
        before = process.io_counters() if hasattr(process, "io_counters") else None
        enough = log.looks + 50
        while log.looks < enough:
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
        await log.looked()
        if busy:
            log.lines(FIRST, *range(20_000))
            await until(lambda: log.told)
        began = asyncio.get_running_loop().time()
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.get_running_loop().time() - began < 1
    assert len(log.messages) < 20_000
    assert psutil.Process().num_fds() == descriptors


async def test_a_read_that_never_returns_doesnt_keep_the_process(tmp_path: Path) -> None:
    """A network drive may stop answering for good; the gateway ends when it is told to all the same."""
    never = tmp_path / "logs" / FIRST
    never.parent.mkdir(parents=True)
    os.mkfifo(never)  # to open it takes somebody who writes
    options = ("--set", "lmstudio.log_monitoring=true", "--set", f"lmstudio.log_dir={tmp_path / 'logs'}")
    async with lmgateway("serve", "--port", "0", *options, cwd=tmp_path) as process:
        await process.port()
        process.send(signal.SIGTERM)
        assert (await process.ends())[0] == 0
