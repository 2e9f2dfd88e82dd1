"""What every test may ask for: a gateway, and something behind it."""

from __future__ import annotations

import asyncio.format_helpers
import gc
import linecache
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import FrameType

import pytest

from tests.support.gateway import Gateway, running_gateway
from tests.support.signals import start_children_interruptible
from tests.support.upstream import ScriptedUpstream, scripted_upstream

# In debug mode asyncio records where each callback, future and task was made, and shows the innermost frame.
# All frames, and a look at each file's date, would take half of the tests' time. asyncio's C part
# calls `traceback` without their number.
traceback.extract_stack.__defaults__ = (None, 1)
linecache.checkcache = lambda filename=None: None


def _innermost(frame: FrameType | None = None, limit: int | None = None) -> traceback.StackSummary:
    frame = frame or sys._getframe(1)
    code = frame.f_code
    summary = traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_name, lookup_line=False)
    return traceback.StackSummary([summary])


asyncio.format_helpers.extract_stack = _innermost

# asyncio's debug mode logs callbacks that block the event loop. One that takes longer than this is a fault on
# any machine, without the time in which other processes ran: /proc has how many nanoseconds a thread waited
# for the processor.
SLOW_SECONDS = 2.0
SLOW = "Executing %s took %.3f seconds"
SCHEDULED = Path("/proc/thread-self/schedstat")

start_children_interruptible()


def _is_no_short_delay(record: logging.LogRecord) -> bool:
    return record.msg != SLOW or record.args[1] >= SLOW_SECONDS  # type: ignore[index, operator]


# asyncio's own limit is 0.1 s, which a callback takes on a busy machine: tests that expect no record failed.
logging.getLogger("asyncio").addFilter(_is_no_short_delay)


def pytest_collection_finish() -> None:
    """The heap of 6,000 collected tests is no garbage: don't search it at each collection."""
    gc.collect()
    gc.freeze()


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture(autouse=True)
def nothing_holds_the_loop(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    began = _seconds_kept_waiting()
    yield
    allowed = SLOW_SECONDS + _seconds_kept_waiting() - began
    for phase in ("setup", "call"):
        for record in caplog.get_records(phase):
            if record.name == "asyncio" and record.msg == SLOW:
                assert record.args[1] < allowed, record.getMessage()  # type: ignore[index, operator]


def _seconds_kept_waiting() -> float:
    return int(SCHEDULED.read_text().split()[1]) / 1e9 if SCHEDULED.exists() else 0.0


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture
async def start_gateway(tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Start a gateway: `await start_gateway(upstream.base_url, auth={"api_key": "k"})`."""
    async with AsyncExitStack() as stack:

        async def start(
            base_url: str, seconds: dict[str, float] | None = None, **tables: dict[str, object]
        ) -> Gateway:
            lmstudio = {"base_url": base_url, **tables.pop("lmstudio", {})}
            server = {"state_dir": str(tmp_path / "state"), **tables.pop("server", {})}
            return await stack.enter_async_context(
                running_gateway({"lmstudio": lmstudio, "server": server, **tables}, **(seconds or {}))
            )

        yield start
