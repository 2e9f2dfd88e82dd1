"""Who may come in, beside who can."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec
import pytest

from lmgateway.cli.doctor.exposure import examine
from lmgateway.cli.machine import LanAddress
from lmgateway.config import Config, decode_custom
from lmgateway.networks import parse_address

HERE = LanAddress("eth0", parse_address("192.168.1.10"), ip_network("192.168.1.0/24"))
HOME, BOTH = ["192.168.1.0/24"], ["127.0.0.0/8", "::1", "192.168.1.0/24"]
MOVED, STRANGERS = ["127.0.0.1", "192.168.2.0/24"], ["127.0.0.1", "fd12::/64"]
FOR_OTHERS = "network.ip_allowlist names others than this machine"
NOT_ITSELF = "network.ip_allowlist leaves out this machine itself"
NOT_HERE = "No network of this machine's is on network.ip_allowlist. It is on 192.168.1.0/24 now."


@pytest.mark.parametrize(
    ("host", "allowlist", "said"),
    [
        ("127.0.0.1", None, ["The gateway is for this machine alone"]),
        ("localhost", ["127.0.0.1"], ["The gateway is for this machine alone"]),
        ("127.0.0.1", BOTH, [FOR_OTHERS]),
        ("::1", ["*"], [FOR_OTHERS]),
        ("0.0.0.0", None, ["Whoever reaches this machine may come in, with the key"]),
        ("0.0.0.0", BOTH, ["These may come in: 127.0.0.0/8, ::1, 192.168.1.0/24."]),
        ("0.0.0.0", HOME, ["These may", NOT_ITSELF]),
        ("0.0.0.0", MOVED, ["These may", NOT_HERE]),
        ("0.0.0.0", STRANGERS, ["These may", NOT_HERE]),
        ("0.0.0.0", ["127.0.0.1", "192.168.1.77"], ["These may"]),
    ],
)
def test_doors_that_do_not_fit(host: str, allowlist: list[str] | None, said: list[str]) -> None:
    """An allowlist that nobody on it can use, or nobody here is on."""
    network = {} if allowlist is None else {"ip_allowlist": allowlist}
    tables = {"server": {"host": host}, "auth": {"api_key": "k"}, "network": network}
    findings = list(examine(msgspec.convert(tables, Config, dec_hook=decode_custom), [HERE]))
    assert [finding.message[: len(text)] for finding, text in zip(findings, said, strict=True)] == said
    as_it_should_be = [text not in {FOR_OTHERS, NOT_ITSELF, NOT_HERE} for text in said]
    assert [finding.level == "ok" for finding in findings] == as_it_should_be


@pytest.mark.parametrize(
    ("tables", "noted"),
    [
        ({}, True),
        ({"network": {"ip_allowlist": ["*"]}}, True),
        ({"auth": {"api_key": "k"}}, False),
        ({"cors": {"origins": ["app://obsidian.md"]}}, False),
    ],
)
def test_pages_that_are_refused(tables: dict[str, object], noted: bool) -> None:
    """A page's user sees a failure without a reason; here is how to let it in."""
    findings = list(examine(msgspec.convert(tables, Config, dec_hook=decode_custom), [HERE]))
    notes = [finding.remedy for finding in findings if finding.message.startswith("Web pages are refused")]
    assert [("cors.origins" in remedy) for remedy in notes] == [True] * noted
