"""LM Studio's log followed while its files rotate, are truncated and replaced."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.following import FIRST, SECOND, STAMP, TENTH, Following
from tests.support.waiting import until

NEXT_MONTH = "2025-12/2025-12-01.1.log"


async def test_rotation_within_a_day(followed: Following):
    """The rest of a file comes before the next file, and so do all files in between."""
    followed.lines(FIRST, "a", "b")
    followed.write(FIRST, f"{STAMP} without an end")
    followed.lines(SECOND, "c")
    followed.lines("2025-11/2025-11-30.3.log", "d")
    followed.lines(TENTH, "e")
    followed.lines("2025-11/notes.log", "not LM Studio's")
    await followed.receives("a", "b", "without an end", "c", "d", "e")
    followed.lines(TENTH, "f")
    await followed.receives("f")


async def test_a_last_line_just_before_a_rotation(followed: Following, monkeypatch: pytest.MonkeyPatch):
    """A line written between reading the old file's end and listing the new file is published."""
    listdir, written = os.listdir, asyncio.Event()

    def late(path: Any = ".") -> Any:
        if path == followed.directory and not written.is_set():
            written.set()
            followed.lines(FIRST, "last")
            followed.lines(SECOND, "first")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", late)
    await followed.receives("last", "first")


async def test_a_record_goes_on_in_the_next_file(followed: Following):
    """Unstamped lines at a file's beginning belong to the last record of the one before."""
    followed.lines(FIRST, "Sampling params:\ttop_k = 40")
    followed.write(SECOND, "\ttemp = 0.500\n")
    await until(lambda: followed.events and followed.events[-1][0] == "lmstudio_sampling_params")
    assert followed.events[-1][1].keys() == {"timestamp", "top_k", "temp"}


async def test_the_change_of_month(followed: Following):
    """Its event comes between the last line of the old month and the first one of the new."""
    followed.lines(FIRST, "last")
    followed.lines(SECOND, "very last")
    followed.lines(NEXT_MONTH, "first")
    followed.lines("2026-01/2026-01-01.1.log", "year's first")
    await until(lambda: len(followed.events) == 6)
    assert [fields.get("message", name) for name, fields in followed.events] == [
        "last",
        "very last",
        "lmstudio_month_transition",
        "first",
        "lmstudio_month_transition",
        "year's first",
    ]
    transition = followed.events[2][1]
    assert transition.pop("timestamp").endswith("Z")
    assert transition == {
        "oldDirectory": str(followed.directory / "2025-11"),
        "newDirectory": str(followed.directory / "2025-12"),
        "newLogFile": str(followed.directory / NEXT_MONTH),
    }


async def test_a_new_month_that_has_no_file_yet(followed: Following):
    """The old month is followed until the new one has something to read."""
    (followed.directory / "2025-12").mkdir()
    followed.lines(FIRST, "a")
    await followed.receives("a")
    followed.lines(NEXT_MONTH, "b")
    await until(lambda: followed.messages == ["b"])


@pytest.mark.parametrize("count", [1, 200])
async def test_truncation(followed: Following, count: int):
    """An emptied file is read from its beginning, even if it has outgrown its old size."""
    followed.lines(FIRST, *(f"a{number}" for number in range(100)))
    await followed.receives(*(f"a{number}" for number in range(100)))
    again = [f"b{number}" for number in range(count)]
    followed.lines(FIRST, *again, mode="w")
    await followed.receives(*again)


async def test_truncation_in_the_middle_of_a_line(followed: Following):
    """The partial line is published by itself."""
    followed.write(FIRST, f"{STAMP} without an end")
    await followed.polled()
    followed.lines(FIRST, "a", mode="w")
    await followed.receives("without an end", "a")


async def test_truncation_to_the_same_size(followed: Following):
    """Other lines of the same length are noticed, too."""
    followed.lines(FIRST, "a", mode="w")
    await followed.receives("a")
    followed.lines(FIRST, "b", mode="w")
    await followed.receives("b")


async def test_a_file_is_replaced_by_another(followed: Following, tmp_path: Path):
    """A new file of the same name is read from its beginning, after the rest of the old one."""
    followed.lines(FIRST, "a")
    await followed.receives("a")
    followed.lines("new", *(f"b{number}" for number in range(100)))
    (followed.directory / "new").replace(followed.directory / FIRST)
    await followed.receives(*(f"b{number}" for number in range(100)))


async def test_a_file_is_replaced_by_its_own_copy(followed: Following):
    """A program that copies a growing log replaces the file each time: no line is published twice."""
    for message in ("a", "b", "c"):
        shutil.copyfile(followed.directory / FIRST, followed.directory / "copy")
        followed.lines("copy", message)
        (followed.directory / "copy").replace(followed.directory / FIRST)
        await followed.receives(message)


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
    assert len(followed.events) == 10_001
    assert followed.missed == 0
