"""Boxes that a test opens: `async with open_boxes("a", "b", residency={…}) as home`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.fleet.boxes import Boxes, boxes
from tests.fleet.packets import Packets, packets

OpenBoxes = Callable[..., AbstractAsyncContextManager[Boxes]]


@pytest.fixture
def open_boxes(tmp_path: Path) -> OpenBoxes:
    return partial(boxes, tmp_path)


@pytest.fixture
def quick_greetings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known in a moment whether a box is up."""
    for name in ("LEAST", "UP", "RETRY", "WAKING", "DOWN"):
        monkeypatch.setattr(f"lmgateway.boxes.presence.{name}_SECONDS", 0.05)


@pytest.fixture
def quick_time_outs(quick_greetings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A box that answers nothing is known to be down in less than a second."""
    monkeypatch.setattr("lmgateway.boxes.box.GREETING_SECONDS", 0.3)
    monkeypatch.setattr("lmgateway.boxes.catalogue.REFRESH_SECONDS", 1.0)
    monkeypatch.setattr("lmgateway.boxes.http.client.CONNECT_SECONDS", 1.0)


@pytest.fixture
async def network() -> AsyncIterator[Packets]:
    async with packets() as received:
        yield received
