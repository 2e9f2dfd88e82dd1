"""GET /admin/config and GET /debug/system: what is in force, and on what it runs."""

from __future__ import annotations

import platform
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from lmgateway.observe.machine import machine_report
from lmgateway.simulator import Simulator, Switches
from tests.conftest import StartGateway
from tests.support.home import QUICK
from tests.support.process import Process, run, serving
from tests.support.studio import running_studio

KEY, TOKEN = "the owner's secret", "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
CONFIG = f"""
[auth]
api_key = "{KEY}"
[lmstudio]
base_url = "http://127.0.0.1:9"
api_token = "{TOKEN}"
[models."qwen/qwen3-8b"]
slots = 2
"""
MODEL = "llama-3.2-3b-instruct"
NOWHERE = "http://127.0.0.1:9"


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[Process, aiohttp.ClientSession]]:
    async with serving(folder, "--set", "server.drain_seconds=0", LOG_LEVEL="warning") as (process, port):
        headers = {"X-API-Key": KEY}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as client:
            yield process, client


async def settings(client: aiohttp.ClientSession) -> dict[str, dict[str, Any]]:
    async with client.get("/admin/config") as response:
        assert response.status == 200
        text = await response.text()
        assert KEY not in text
        assert TOKEN not in text
        return {one["path"]: one for one in (await response.json())["settings"]}


async def test_the_configuration_is_what_check_prints(tmp_path: Path) -> None:
    """Every value with its source, and the secrets masked alike."""
    (tmp_path / "config.toml").write_text(CONFIG)
    options = ("--set", "server.drain_seconds=0", "--host", "127.0.0.1", "--port", "0")
    status, printed = await run("check", *options, cwd=tmp_path, LOG_LEVEL="warning")
    assert status == 0, printed
    lines = [line.rpartition("  # ") for line in printed.splitlines() if "  # " in line]
    async with gateway(tmp_path) as (_, client):
        shown = await settings(client)
    assert [(line.rstrip(), origin) for line, _, origin in lines] == [
        (f"{path} = {one['value']}", one["origin"]) for path, one in shown.items()
    ]
    assert shown["auth.api_key"]["value"] == shown["lmstudio.api_token"]["value"] == '"********"'
    assert shown["logging.level"]["origin"] == "environment (LOG_LEVEL)"
    assert shown['models."qwen/qwen3-8b".slots']["value"] == "2"


async def test_a_reload_changes_the_values(tmp_path: Path) -> None:
    """What takes effect only at the next start says so, until it is as it was at the start."""
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    async with gateway(tmp_path) as (process, client):
        before = await settings(client)
        assert not any(one["needsRestart"] for one in before.values())
        file.write_text(
            f'{CONFIG}[server]\nstate_dir = "{tmp_path / "other"}"\n[residency]\nmax_models = 3\n'
        )
        for _ in range(2):  # a second reload doesn't make the process use it
            process.send(signal.SIGHUP)
            await process.line("server.state_dir takes effect when the gateway is restarted")
            after = await settings(client)
            assert (after["residency.max_models"]["value"], after["residency.max_models"]["origin"]) == (
                "3",
                "config.toml",
            )
            pending = [path for path, one in after.items() if one["needsRestart"]]
            assert pending == ["server.state_dir"]


async def system(base_url: str, start_gateway: StartGateway) -> Any:
    gateway = await start_gateway(base_url, lmstudio=QUICK)
    async with gateway.client.get(gateway.url("/debug/system")) as response:
        assert response.status == 200
        return await response.json()


async def test_versions_memory_and_what_is_loaded(start_gateway: StartGateway) -> None:
    """LM Studio's by its SDK; the faults of a version are those that doctor knows."""
    simulator = Simulator(switches=Switches(version="0.4.19"))
    size = simulator.load(MODEL).model.size_bytes
    async with running_studio(simulator) as studio:
        found = await system(studio.base_url, start_gateway)
    [box] = found["boxes"]
    assert (box["box"], box["baseUrl"], box["reachable"], box["version"], box["isLocal"]) == (
        *("lmstudio", studio.base_url, True, "0.4.19"),
        True,
    )
    assert box["models"] == [{"identifier": MODEL, "modelKey": MODEL, "size": size}]
    [fault] = box["faults"]
    assert "0.4.19 has a known fault" in fault["message"]
    assert fault["remedy"].startswith("Install another version")
    process, machine = found["gateway"], found["machine"]
    assert (process["version"], process["pythonVersion"]) == (version("lmgateway"), platform.python_version())
    assert process["packages"] == {name: version(name) for name in ("aiohttp", "lmstudio")}
    # This process runs the gateway.
    assert 0.5 < process["memory"] / psutil.Process().memory_info().rss < 2
    assert machine["memory"] == psutil.virtual_memory().total
    assert 0 < machine["available"] <= machine["memory"]


def test_a_hidden_machine_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The systemd unit hides all of /proc but the process itself."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    assert machine_report() is None


async def test_a_copy_of_a_model_is_a_known_fault(start_gateway: StartGateway) -> None:
    """LM Studio loads one more when several requests at once find it unloaded."""
    simulator = Simulator()
    simulator.load(MODEL)
    simulator.load(MODEL, f"{MODEL}:2")
    async with running_studio(simulator) as studio:
        [box] = (await system(studio.base_url, start_gateway))["boxes"]
    assert [fault["message"].startswith(f"{MODEL} is loaded as") for fault in box["faults"]] == [True]


async def test_an_lm_studio_that_is_away_is_shown(start_gateway: StartGateway) -> None:
    """What it would have said is unknown, which is null and never 0."""
    [box] = (await system(NOWHERE, start_gateway))["boxes"]
    assert (box["reachable"], box["latencyMs"], box["version"], box["models"], box["faults"]) == (
        *(False, None, None, None),
        [],
    )
