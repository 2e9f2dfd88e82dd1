"""`lmgateway doctor` as a whole: what it prints, and how it ends."""

from __future__ import annotations

import json

from lmgateway import __version__
from lmgateway.simulator import Simulator
from tests.cli.doctor.conftest import KEY, Patient
from tests.support.process import lmgateway
from tests.support.terminal import on_terminal

CHECKS = ("installation", "clock", "configuration", "network", "state", "LM Studio", "gateway", "keys")


async def test_good_health(patient: Patient) -> None:
    """Beside a running gateway no check has a complaint, and none prints the key. A pipe gets plain text."""
    async with lmgateway("serve", cwd=patient.folder) as gateway:
        await gateway.port()
        status, output = await patient.run("doctor")
    assert status == 0, output
    *lines, summary = output.splitlines()
    assert [line.startswith(f"ok       {check:<13}  ") for line, check in zip(lines, CHECKS, strict=True)]
    assert summary == "0 problems, 0 warnings"
    assert KEY not in output
    assert "\x1b" not in output


async def test_json_is_for_scripts(patient: Patient, studio: tuple[Simulator, str]) -> None:
    """The same findings with what to do about each; the status is 1 if there is a problem."""
    studio[0].api_token = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
    status, output = await patient.run("doctor", "--json")
    assert status == 1
    report = json.loads(output)
    assert report["version"] == __version__
    assert {tuple(finding) for finding in report["findings"]} == {("check", "level", "message", "remedy")}
    problem = next(finding for finding in report["findings"] if finding["level"] == "problem")
    assert problem["check"] == "LM Studio"
    assert problem["message"] == f"LM Studio at {patient.studio_url} requires an API token."
    status, output = await patient.run("doctor")
    assert status == 1
    assert f"-> {problem['remedy']}\n" in output
    assert output.splitlines()[-1] == "1 problem, 0 warnings"


async def test_colours_are_for_terminals(patient: Patient) -> None:
    """Levels are coloured on a terminal."""
    async with on_terminal("doctor", cwd=patient.folder) as terminal:
        assert await terminal.ends() == 0
    assert "\x1b[32mok     \x1b[0m  LM Studio" in terminal.shown


async def test_unusable_configuration(patient: Patient) -> None:
    """Each mistake is a problem, and the status is the one that `serve` would end with."""
    patient.file.write_text("[server]\nprot = 1\nhost = 1\n")
    status, output = await patient.run("doctor", "--json")
    assert status == 78
    problems = [one["message"] for one in json.loads(output)["findings"] if one["level"] == "problem"]
    assert problems == [
        "config.toml: server.prot: no such setting; did you mean server.port?",
        "config.toml: server.host: invalid value 1, expected an address or a host name of this machine",
    ]


async def test_examines_what_serve_would_read(patient: Patient) -> None:
    """The chosen file, the environment and the command line count as they do for the gateway."""
    patient.file.rename(patient.folder / "other.toml")
    _, output = await patient.run(
        "doctor", "--config", "other.toml", "--set", "logging.level=debug", GATEWAY_NAMES="a.example"
    )
    assert "Settings come from command line, environment (GATEWAY_NAMES), other.toml." in output
