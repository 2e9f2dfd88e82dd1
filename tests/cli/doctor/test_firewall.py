"""Firewalls, by the signs that they leave."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import msgspec
import pytest

from lmgateway.cli.doctor.firewall import dropping_chain, drops, examine, is_ufw_enabled
from lmgateway.cli.machine import LanAddress
from lmgateway.config import Config, decode_custom
from lmgateway.networks import parse_address
from tests.cli.doctor.conftest import Programs


def chain(**more: object) -> dict[str, object]:
    names = {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": "accept"}
    return {"chain": {**names, **more}}


def rule(*statements: dict[str, object]) -> dict[str, object]:
    return {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": list(statements)}}


OPEN = {"match": {"op": "==", "left": {"payload": {"field": "dport"}}, "right": 8002}}
REJECT = {"reject": {"type": "icmpx", "expr": "port-unreachable"}}


@pytest.mark.parametrize(
    ("objects", "dropping"),
    [
        ([], None),
        ([chain()], None),
        ([chain(policy="drop")], "inet filter input"),
        ([chain(policy="drop", hook="forward")], None),
        ([chain(), rule({"accept": None}), rule(REJECT)], "inet filter input"),
        ([chain(), rule({"drop": None}), rule({"accept": None})], None),
        ([chain(policy="drop"), rule(OPEN, {"accept": None})], None),
    ],
)
def test_nftables(objects: list[object], dropping: str | None) -> None:
    """A chain that drops what comes in is a sign; one that knows the port isn't."""
    ruleset = json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *objects]})
    assert dropping_chain(ruleset, 8002) == dropping


@pytest.mark.parametrize(
    ("rules", "dropping"),
    [
        ("", False),
        ("-P INPUT ACCEPT\n", False),
        ("-P INPUT DROP\n", True),
        ("-P INPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with tcp-reset\n", True),
        ("-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 8002 -j ACCEPT\n", False),
    ],
)
def test_iptables(rules: str, dropping: bool) -> None:
    """The same with the older program."""
    assert drops(rules, 8002) is dropping


@pytest.mark.parametrize(
    ("text", "enabled"), [("ENABLED=yes\n", True), ("# ENABLED=yes\nENABLED=no\n", False), (None, False)]
)
def test_ufw(tmp_path: Path, text: str | None, enabled: bool) -> None:
    """Its settings, which everybody may read, say whether it is on."""
    settings = tmp_path / "ufw.conf"
    if text is not None:
        settings.write_text(text)
    assert is_ufw_enabled(settings) is enabled


LAN = [
    LanAddress("eth0", parse_address("192.168.1.10"), ip_network("192.168.1.0/24")),
    LanAddress("eth0", parse_address("fd12::10"), ip_network("fd12::/64")),
    LanAddress("eth1", parse_address("8.8.8.8"), ip_network("8.8.8.0/24")),
]
DROPPING = json.dumps({"nftables": [chain(policy="drop")]})
FIREWALLD = "rule family=ipv4 source address=192.168.1.0/24 port port=8002 protocol=tcp accept"


@pytest.mark.parametrize(
    ("installed", "name", "command"),
    [
        (
            {"firewall_cmd": "running", "nft": DROPPING},
            "firewalld",
            f"sudo firewall-cmd --add-rich-rule='{FIREWALLD}'",
        ),
        (
            {"nft": DROPPING, "iptables": "-P INPUT DROP"},
            "nftables",
            "sudo nft insert rule inet filter input ip6 saddr fd12::/64 tcp dport 8002 accept",
        ),
        (
            {"nft": "{}", "iptables": "-P INPUT DROP"},
            "iptables",
            "sudo ip6tables --insert INPUT --source fd12::/64 --protocol tcp --dport 8002 --jump ACCEPT",
        ),
        ({"firewall_cmd": "not running", "nft": "{}", "iptables": "-P INPUT ACCEPT"}, None, ""),
    ],
)
def test_firewalls(
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
    installed: dict[str, str],
    name: str | None,
    command: str,
) -> None:
    """The active one is named, with the command that opens the port for this machine's own networks."""
    monkeypatch.setenv("PATH", programs(**installed))
    findings = list(examine(Config(), LAN))
    assert [finding.message.partition(" ")[0] for finding in findings] == ([name] if name else [])
    assert [command in finding.remedy.splitlines() for finding in findings] == ([True] if name else [])
    assert "8.8.8" not in str(findings)


@pytest.mark.parametrize("server", [{"host": "127.0.0.1"}, {"port": 0}])
def test_firewalls_do_not_matter_on_loopback(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, server: dict[str, object]
) -> None:
    """A gateway without clients from outside needs no open port."""
    monkeypatch.setenv("PATH", programs(firewall_cmd="running"))
    config = msgspec.convert({"server": server}, Config, dec_hook=decode_custom)
    assert list(examine(config, LAN)) == []
