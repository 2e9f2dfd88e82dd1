"""Signals, with uvloop and without."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmgateway.server.loop import Signals
from tests.support.process import serving


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_are_handled_without_uvloop(tmp_path: Path, number: signal.Signals) -> None:
    """There is none on Windows, nor for every Python."""
    (tmp_path / "uvloop.py").write_text("raise ImportError")
    async with serving(tmp_path) as (gateway, _):
        gateway.send(signal.SIGHUP)
        await gateway.says("the configuration is reloaded")
        gateway.send(number)
        status, output = await gateway.ends()
    assert status == 0
    assert "stopping: waiting" in output
    assert "Traceback" not in output


@pytest.fixture
def ignored_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


async def test_a_background_job_ignores_ctrl_c(ignored_ctrl_c: None) -> None:
    """A script's `lmgateway serve &` outlives the Ctrl-C that ends the command in front of it."""
    signals = Signals()
    with signals.handled():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        await asyncio.wait_for(signals.stop.wait(), 10)
    assert not signals.hurry.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
