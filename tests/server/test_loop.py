"""What the process does when it is told something, on a system's own event loop."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.process import lmgateway


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_where_there_is_no_uvloop_signals_are_heard_as_well(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Windows has none, and a Python for which nobody built it."""
    (tmp_path / "uvloop.py").write_text("raise ImportError")
    async with lmgateway("serve", "--host", "127.0.0.1", "--port", "0", cwd=tmp_path) as gateway:
        await gateway.port()
        gateway.send(signal.SIGHUP)
        await gateway.says("the configuration is reloaded")
        gateway.send(number)
        status, output = await gateway.ends()
    assert status == 0
    assert "stopping: waiting" in output
    assert "Traceback" not in output
