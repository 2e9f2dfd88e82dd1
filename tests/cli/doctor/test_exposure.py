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
FOR_OTHERS = "network.ip_allowlist allows other machines, but they can't connect to"
NOT_ITSELF = "network.ip_allowlist doesn't contain this machine"
NOT_HERE = "network.ip_allowlist contains no network of this machine, which is now on 192.168.1.0/24."


@pytest.mark.parametrize(
    ("host", "allowlist", "starts"),
    [
        ("127.0.0.1", None, ["The gateway listens at 127.0.0.1, so only this machine"]),
        ("localhost", ["127.0.0.1"], ["The gateway listens at localhost, so only this machine"]),
        ("127.0.0.1", BOTH, [FOR_OTHERS]),
        ("::1", ["*"], [FOR_OTHERS]),
        ("0.0.0.0", None, ["Every client that reaches this machine may connect, with a key"]),
        ("0.0.0.0", BOTH, ["Clients that may connect: 127.0.0.0/8, ::1, 192.168.1.0/24."]),
        ("0.0.0.0", HOME, ["Clients that may connect", NOT_ITSELF]),
        ("0.0.0.0", MOVED, ["Clients that may connect", NOT_HERE]),
        ("0.0.0.0", STRANGERS, ["Clients that may connect", NOT_HERE]),
        ("0.0.0.0", ["127.0.0.1", "192.168.1.77"], ["Clients that may connect"]),
    ],
)
def test_doors_that_do_not_fit(host: str, allowlist: list[str] | None, starts: list[str]) -> None:
    """An allowlist whose networks can't reach the gateway, or that misses this machine's networks."""
    network = {} if allowlist is None else {"ip_allowlist": allowlist}
    tables = {"server": {"host": host}, "network": network}
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    findings = list(examine(config, [HERE], needs_key=True))
    assert [finding.message[: len(text)] for finding, text in zip(findings, starts, strict=True)] == starts
    as_it_should_be = [text not in {FOR_OTHERS, NOT_ITSELF, NOT_HERE} for text in starts]
    assert [finding.level == "ok" for finding in findings] == as_it_should_be


def test_a_container_has_a_network_of_its_own() -> None:
    """The allowlist of the host's network is right, if Docker leaves clients their addresses."""
    config = msgspec.convert({"network": {"ip_allowlist": MOVED}}, Config, dec_hook=decode_custom)
    _, finding = examine(config, [HERE], needs_key=True, is_container=True)
    assert (finding.level, "this container's own network, 192.168.1.0/24" in finding.message) == (
        "note",
        True,
    )


@pytest.mark.parametrize(
    ("tables", "needs_key", "noted"),
    [
        ({}, False, True),
        ({"network": {"ip_allowlist": ["*"]}}, False, True),
        ({}, True, False),
        ({"cors": {"origins": ["app://obsidian.md"]}}, False, False),
    ],
)
def test_pages_that_are_refused(tables: dict[str, object], needs_key: bool, noted: bool) -> None:
    """A page's user sees a failure without a reason; here is how to let it in."""
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    findings = list(examine(config, [HERE], needs_key=needs_key))
    notes = [finding.remedy for finding in findings if "web pages are refused" in finding.message]
    assert [("cors.origins" in remedy) for remedy in notes] == [True] * noted
