"""The gateway as it runs for months."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from lmgateway import service
from lmgateway.config import Config, decode_custom
from lmgateway.server.loop import Signals
from lmgateway.settings import Loaded
from tests.support.raw_client import raw_client
from tests.support.requests import request
from tests.support.waiting import until

KEY, OTHER_KEY = "the-first-secret", "the-second-secret"


def configuration(folder: Path, **tables: object) -> Config:
    server = {"host": "127.0.0.1", "port": 0, "drain_seconds": 0, "state_dir": str(folder)}
    return msgspec.convert({"server": server, **tables}, Config, dec_hook=decode_custom)


@asynccontextmanager
async def serving(
    outcomes: Iterable[Config | Exception], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Signals, int]]:
    """Run a service that loads these configurations, one after the other, or fails to."""
    # They would change the process that runs the tests.
    monkeypatch.setattr(service, "configure_logging", lambda _config: None)
    monkeypatch.setattr(service, "_settle_garbage_collector", lambda: None)
    pending = iter(outcomes)

    def load() -> Loaded:
        outcome = next(pending)
        if isinstance(outcome, Exception):
            raise outcome
        return Loaded(outcome, None, None, {})

    signals, listening = Signals(), asyncio.Queue[int]()
    started = service.Service(load).run(signals, lambda port, _keys: listening.put_nowait(port))
    running = asyncio.create_task(started)
    yield signals, await asyncio.wait_for(listening.get(), 5)
    signals.stop.set()
    await asyncio.wait_for(running, 5)


async def test_a_reload_that_fails_is_not_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails in one of them, an operator can correct it and reload again."""
    config = configuration(tmp_path)
    outcomes = (config, RuntimeError("nobody thought of this"), config)
    async with serving(outcomes, monkeypatch) as (signals, _):
        caplog.set_level(logging.INFO)
        signals.reload.set()
        await until(lambda: "nobody thought of this" in caplog.text)
        assert "is reloaded" not in caplog.text
        signals.reload.set()
        await until(lambda: "the configuration is reloaded" in caplog.text)


@pytest.mark.parametrize("failing", ["Cors", "Callers", "Guard", "RequestFields", "profiles_of"])
async def test_a_reload_that_fails_in_the_middle_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    """Neither the limits of connections, nor the keys, nor LM Studio's address."""
    caplog.set_level(logging.INFO)
    old = configuration(tmp_path, auth={"api_key": KEY}, limits={"head_bytes": 4096})
    new = configuration(
        tmp_path,
        auth={"api_key": OTHER_KEY},
        limits={"head_bytes": 65536},
        lmstudio={"base_url": "http://127.0.0.1:9"},
    )

    def fails(*_: object, **_options: object) -> None:
        raise RuntimeError("nobody thought of this")

    def logged(words: str) -> bool:
        return words in caplog.text

    large = request(b"GET /health", b"X-Large: " + b"x" * 20_000)
    async with serving((old, new, new), monkeypatch) as (signals, port):
        for is_reloaded in (False, True):
            with pytest.MonkeyPatch.context() as patched:
                if not is_reloaded:
                    patched.setattr(f"lmgateway.web.ruleset.{failing}", fails)
                signals.reload.set()
                await until(partial(logged, "is reloaded" if is_reloaded else "nobody thought"))
            async with raw_client(port) as client:
                assert (await client.ask(large)).status == (200 if is_reloaded else 431)
            for key, is_accepted in ((KEY, not is_reloaded), (OTHER_KEY, is_reloaded)):
                async with raw_client(port) as client:
                    asked = request(b"GET /health/ready", b"X-API-Key: " + key.encode())
                    answer = await client.ask(asked)
                    assert (answer.status != 401) == is_accepted
                    if is_accepted:
                        assert (b"127.0.0.1:9" in answer.body) == is_reloaded


async def test_two_reloads_at_once_end_with_the_newest_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A SIGHUP during a reload is followed by another reload."""
    caplog.set_level(logging.INFO)
    configurations = [configuration(tmp_path, auth={"api_key": key}) for key in ("a", "b", "c")]
    async with serving(configurations, monkeypatch) as (signals, port):

        def reload_again(_config: Config) -> None:
            monkeypatch.setattr(service, "configure_logging", lambda _config: None)
            signals.reload.set()

        monkeypatch.setattr(service, "configure_logging", reload_again)
        signals.reload.set()
        await until(lambda: caplog.text.count("the configuration is reloaded") == 2)
        async with raw_client(port) as client:
            asked = request(b"GET /debug/status", b"X-API-Key: c")
            assert (await client.ask(asked)).status == 200
