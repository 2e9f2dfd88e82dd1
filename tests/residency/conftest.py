"""A house that a test opens: `async with open_house(residency={"max_models": 2}) as house`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.residency.house import House, house

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


LINK_SECONDS = "lmgateway.scheduling.residency.hopeless.LINK_SECONDS"
RETRY_SECONDS = "lmgateway.scheduling.residency.hopeless.RETRY_SECONDS"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try LM Studio's SDK often, and give up after half a second instead of 30."""
    monkeypatch.setattr(LINK_SECONDS, 0.5)
    monkeypatch.setattr(RETRY_SECONDS, 0.05)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try LM Studio's SDK often."""
    monkeypatch.setattr(RETRY_SECONDS, 0.05)


@pytest.fixture
def open_house(tmp_path: Path) -> OpenHouse:
    return partial(house, tmp_path)
