"""A house that a test opens: `async with open_house(residency={"max_models": 2}) as house`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from tests.conftest import StartGateway
from tests.residency.house import House, house

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(start_gateway: StartGateway) -> OpenHouse:
    return partial(house, start_gateway)
