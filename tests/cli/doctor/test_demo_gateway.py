"""`lmgateway doctor` while the demo has the gateway's port, and in a container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lmgateway.cli import lm_studio_home
from lmgateway.cli.demo_key import DEMO_KEY
from lmgateway.cli.doctor.demo_gateway import runs
from lmgateway.config import Config, decode_custom
from tests.cli.doctor.conftest import Patient
from tests.support.gateway import running_gateway
from tests.support.process import lmgateway


async def findings(patient: Patient, *options: str, **environ: str) -> dict[str, list[tuple[str, str]]]:
    """The levels and messages of each check."""
    _, output = await patient.run("doctor", "--json", *options, **environ)
    by_check: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(output)["findings"]:
        by_check.setdefault(one["check"], []).append((one["level"], one["message"]))
    return by_check


@pytest.mark.parametrize("place", ["after init", "before init", "with the demo's key"])
async def test_the_demo_is_no_alarm(patient: Patient, place: str) -> None:
    """It has another key, another LM Studio, and listens on this machine only."""
    patient.configure(lmstudio={"base_url": "http://127.0.0.1:9"}, server={"host": "0.0.0.0"})
    options: list[str] = []
    environ: dict[str, str] = {}
    if place != "after init":
        patient.file.unlink()
        options = ["--port", str(patient.port), "--set=lmstudio.base_url=http://127.0.0.1:9"]
    if place == "with the demo's key":
        environ = {"GATEWAY_API_KEY": DEMO_KEY}
    async with lmgateway("demo", "--port", str(patient.port), cwd=patient.folder) as demo:
        await demo.port()
        found = await findings(patient, *options, **environ)
    levels = {level for each in found.values() for level, _ in each}
    assert levels <= {"ok", "note"}, found
    [(level, message)] = found["gateway"]
    assert (level, message.startswith("The demo runs at http://127.0.0.1:")) == ("note", True)
    assert "The demo needs none" in found["LM Studio"][0][1]


@pytest.mark.parametrize(
    ("auth", "base_url", "is_demo"),
    [
        ({"api_key": DEMO_KEY}, "http://127.0.0.1:9", True),
        ({"api_key": DEMO_KEY}, "", False),
        ({"api_key": "another key"}, "http://127.0.0.1:9", False),
        ({}, "http://127.0.0.1:9", False),
    ],
    ids=["demo", "its LM Studio is the configured one", "another key", "no key"],
)
async def test_a_gateway_that_is_not_the_demo(
    patient: Patient, auth: dict[str, Any], base_url: str, is_demo: bool
) -> None:
    """Somebody's own may have the same key, or none."""
    tables = patient.tables(lmstudio={"base_url": base_url} if base_url else {})
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    running = {name: table for name, table in patient.tables().items() if name != "auth"}
    async with running_gateway({**running, "auth": auth}, patient.port):
        assert await runs(config) is is_demo


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user of a container's image has neither HOME nor an entry in /etc/passwd."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert not lm_studio_home.user_home().exists()
    assert lm_studio_home.log_folder(lm_studio_home.user_home()) is None
