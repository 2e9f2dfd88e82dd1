"""Clients that can use LM Studio past the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from yarl import URL

from lmgateway.cli.doctor import direct_access
from lmgateway.cli.doctor.direct_access import examine
from lmgateway.cli.machine import LanAddress
from lmgateway.config import LMStudio
from lmgateway.simulator import Simulator, serve
from tests.cli.doctor.conftest import Patient

TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
# Stands for this machine's address on its LAN: a test must not listen there.
OTHER_LOOPBACK = "127.0.0.2"
ON_LAN = LanAddress("eth0", ip_address(OTHER_LOOPBACK), ip_network("127.0.0.0/8"))

Remember = Callable[..., None]


@pytest.fixture
def remember(tmp_path: Path) -> Remember:
    """Write LM Studio's settings of its server into a home folder."""

    def write(folder: str = ".lmstudio", **settings: object) -> None:
        path = tmp_path / folder / ".internal" / "http-server-config.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))

    return write


@pytest.mark.parametrize("folder", [".lmstudio", ".cache/lm-studio", "elsewhere"])
@pytest.mark.parametrize(
    ("interface", "shown"),
    [
        ("0.0.0.0", "networkInterface 0.0.0.0"),
        ("192.168.1.5", "networkInterface 192.168.1.5"),
        ("127.0.0.1", None),
        ("localhost", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
async def test_its_own_settings(
    studio: tuple[Simulator, str],
    tmp_path: Path,
    remember: Remember,
    folder: str,
    interface: object,
    shown: str | None,
) -> None:
    """ "Serve on Local Network" is a way around the gateway; what switches it off is said."""
    remember(folder, port=URL(studio[1]).port, networkInterface=interface)
    if folder == "elsewhere":
        (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / folder}\n")
    findings = await examine(LMStudio(base_url=URL(studio[1])), [], tmp_path)
    assert [finding.level for finding in findings] == (["warning"] if shown else [])
    for finding in findings:
        assert shown is not None
        assert shown in finding.message
        assert "Serve on Local Network" in finding.remedy
        assert "`lms server start` without --bind" in finding.remedy


async def test_a_token_is_required(studio: tuple[Simulator, str], tmp_path: Path, remember: Remember) -> None:
    """Then nobody but the gateway can use it, whatever it listens on."""
    studio[0].api_token = TOKEN
    remember(networkInterface="0.0.0.0")
    assert await examine(LMStudio(base_url=URL(studio[1]), api_token=TOKEN), [], tmp_path) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
async def test_it_answers_on_the_network(address: str, tmp_path: Path) -> None:
    """Whatever its settings say: `lms server start --bind` overrides them."""
    async with serve(Simulator(), address, 0) as port:
        config = LMStudio(base_url=URL(f"http://127.0.0.1:{port}"))
        findings = await examine(config, [ON_LAN], tmp_path)
    assert [finding.level for finding in findings] == (["warning"] if address == "0.0.0.0" else [])
    assert all(f"http://{OTHER_LOOPBACK}:{port}" in finding.message for finding in findings)


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize("token", ["", TOKEN])
async def test_an_address_on_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str, *, is_own: bool
) -> None:
    """LM Studio on this machine can listen on loopback; on another machine it can't."""
    monkeypatch.setattr(direct_access, "is_loopback", lambda host: host != OTHER_LOOPBACK)
    async with serve(Simulator(api_token=token), OTHER_LOOPBACK, 0) as port:
        config = LMStudio(base_url=URL(f"http://{OTHER_LOOPBACK}:{port}"), api_token=token)
        findings = await examine(config, [ON_LAN] if is_own else [], tmp_path)
    assert [finding.level for finding in findings] == ([] if token else ["warning" if is_own else "note"])
    advice = f"Set lmstudio.base_url to http://127.0.0.1:{port}." if is_own else "firewall"
    assert all(advice in finding.remedy for finding in findings)


async def test_the_doctor_warns(patient: Patient, remember: Remember) -> None:
    """Also as a command, from the settings in the user's home."""
    remember(networkInterface="0.0.0.0")
    _, output = await patient.run("doctor", "--json")
    warnings = [one["message"] for one in json.loads(output)["findings"] if one["level"] == "warning"]
    assert [one for one in warnings if "networkInterface 0.0.0.0" in one] != []
