"""A box is tested behind a gateway, beside a pretend LM Studio; its log in a folder of its own."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.following import FIRST, Following
from tests.support.home_fixtures import held, held_home, home, pace

__all__ = ["held", "held_home", "home", "pace"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Following:
    following, listdir = Following(tmp_path / "server-logs"), os.listdir

    def counting(path: Any = ".") -> Any:
        following.polls += path == following.directory
        return listdir(path)

    monkeypatch.setattr(os, "listdir", counting)
    return following


@pytest.fixture
async def followed(log: Following) -> AsyncIterator[Following]:
    """A log that has a file, followed from its end."""
    log.lines(FIRST, "old")
    async with log.run():
        await log.polled()
        yield log
