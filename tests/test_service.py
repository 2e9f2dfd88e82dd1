"""The gateway as it runs for months."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmgateway import service
from lmgateway.config import Config, Server
from lmgateway.server.loop import Signals
from tests.support.waiting import until


async def test_a_reload_that_fails_is_not_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails in one of them, an operator can correct it and reload again."""
    # They would change the process that runs the tests.
    monkeypatch.setattr(service, "configure_logging", lambda _config: None)
    monkeypatch.setattr(service, "_settle_garbage_collector", lambda: None)
    config = Config(server=Server(host="127.0.0.1", port=0, drain_seconds=0, state_dir=str(tmp_path)))
    outcomes: Iterator[Config | Exception] = iter([config, RuntimeError("nobody thought of this"), config])

    def load() -> Config:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    signals, listening = Signals(), asyncio.Event()
    running = asyncio.create_task(service.Service(load).run(signals, lambda _port: listening.set()))
    await asyncio.wait_for(listening.wait(), 5)
    caplog.set_level("INFO")
    signals.reload.set()
    await until(lambda: "nobody thought of this" in caplog.text)
    assert "is reloaded" not in caplog.text
    signals.reload.set()
    await until(lambda: "the configuration is reloaded" in caplog.text)
    signals.stop.set()
    await asyncio.wait_for(running, 5)
