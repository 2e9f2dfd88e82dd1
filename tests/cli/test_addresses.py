"""The addresses that `lmgateway serve` prints on a terminal."""

from __future__ import annotations

import signal
from ipaddress import ip_network
from pathlib import Path

import msgspec
import pytest

from lmgateway.cli import urls
from lmgateway.cli.machine import LanAddress
from lmgateway.config import Config, decode_custom
from lmgateway.networks import parse_address
from tests.support.process import serving
from tests.support.terminal import on_terminal

OWN, LAN, OTHER = "http://127.0.0.1:9000", "http://192.168.1.10:9000", "http://10.1.1.10:9000"
NETWORKS = [
    LanAddress(name, parse_address(address), ip_network(f"{address}/24", strict=False))
    for name, address in (("eth0", "192.168.1.10"), ("eth1", "10.1.1.10"))
]
KEY = {"auth": {"api_key": "k"}}
ALONE = (
    "serve",
    "--set",
    "server.host=127.0.0.1",
    "--port",
    "0",
    "--set",
    "lmstudio.base_url=http://127.0.0.1:9",
)


def allowlist(*networks: str) -> dict[str, object]:
    return {"network": {"ip_allowlist": list(networks)}}


@pytest.mark.parametrize(
    ("tables", "has_keys", "own", "others"),
    [
        (KEY, True, OWN, [LAN, OTHER]),
        # Protected mode serves this machine alone, until there is a named key.
        ({}, False, OWN, []),
        ({}, True, OWN, [LAN, OTHER]),
        ({**KEY, **allowlist("127.0.0.0/8", "192.168.1.0/24")}, True, OWN, [LAN]),
        ({**KEY, **allowlist("192.168.1.0/24")}, True, None, [LAN]),
        ({**KEY, "server": {"host": "127.0.0.1"}}, True, OWN, []),
        ({**KEY, "server": {"host": "10.1.1.10"}}, True, OTHER, [OTHER]),
    ],
)
def test_only_those_that_can_be_opened(
    monkeypatch: pytest.MonkeyPatch,
    tables: dict[str, object],
    has_keys: bool,
    own: str | None,
    others: list[str],
) -> None:
    """As the address to listen on and the allowlist say."""
    monkeypatch.setattr(urls, "local_name", lambda: None)
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    lines = list(urls.dashboards(config, NETWORKS, 9000, has_keys=has_keys))
    expected = [f"Dashboard, on this machine: {own}/dashboard"] if own else []
    assert lines == expected + [f"Dashboard, on other machines: {url}/dashboard" for url in others]


def test_the_machines_name_is_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones know it by mDNS."""
    monkeypatch.setattr(urls, "local_name", lambda: "tower.local")
    config = msgspec.convert(KEY, Config, dec_hook=decode_custom)
    lines = list(urls.dashboards(config, NETWORKS, 9000, has_keys=True))
    assert lines[-1] == "Dashboard, on other machines: http://tower.local:9000/dashboard"


async def test_serve_prints_them_on_a_terminal(tmp_path: Path) -> None:
    """With the port that it listens on."""
    async with on_terminal(*ALONE, cwd=tmp_path) as terminal:
        shown = await terminal.until("/dashboard")
        assert "Dashboard, on this machine: http://127.0.0.1:" in shown
        assert ":0/" not in shown


async def test_a_log_has_none_of_them(tmp_path: Path) -> None:
    """It has one line about the start, which other programs read."""
    async with serving(tmp_path, "--set", "lmstudio.base_url=http://127.0.0.1:9") as (process, _):
        process.send(signal.SIGTERM)
        status, output = await process.ends()
    assert status == 0
    assert "listens on http://127.0.0.1:" in output
    assert "Dashboard" not in output
