"""Detects a firewall that may block other machines. Changes nothing: the user runs the commands."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...config import Config
from ..machine import LanAddress, Network
from .commands import output_of
from .exposure import is_loopback
from .findings import Finding

_CHECK = "firewall"
_UFW_SETTINGS = Path("/etc/ufw/ufw.conf")
_MACOS = "/usr/libexec/ApplicationFirewall/socketfilterfw"


def examine(config: Config, networks: Sequence[LanAddress]) -> Iterator[Finding]:
    """Report the active firewall, and the commands that open the port to this machine's private networks."""
    port = config.server.port
    own = list(dict.fromkeys(one.network for one in networks if one.is_private))
    if not own or port == 0 or is_loopback(config.server.host):
        return
    if sys.platform == "win32":
        firewall = ("Windows' firewall", _windows(port))
    elif sys.platform == "darwin":
        firewall = _macos()
    else:
        firewall = _linux(port, own)
    if firewall is not None:
        name, commands = firewall
        message = f"{name} is active. If other machines can't connect, this opens port {port} to them."
        yield Finding.note(_CHECK, message, commands)


def _windows(port: int) -> str:
    return (
        f"New-NetFirewallRule -DisplayName lmgateway -Direction Inbound -Protocol TCP -LocalPort {port} "
        "-Profile Private -RemoteAddress LocalSubnet -Action Allow"
    )


def _macos() -> tuple[str, str] | None:
    if "enabled" not in (output_of(_MACOS, "--getglobalstate") or ""):
        return None
    return "macOS' firewall", f"sudo {_MACOS} --add {sys.executable} --unblockapp {sys.executable}"


def _linux(port: int, networks: Sequence[Network]) -> tuple[str, str] | None:
    """Check the front ends first, because nft and iptables show the rules that these made."""
    if is_ufw_enabled(_UFW_SETTINGS):
        return "ufw", _for_each(
            networks, lambda one: f"sudo ufw allow proto tcp from {one} to any port {port}"
        )
    if (output_of("firewall-cmd", "--state") or "").strip() == "running":
        opening = _for_each(networks, lambda one: _firewalld(one, port))
        return "firewalld", f"{opening}\nsudo firewall-cmd --runtime-to-permanent"
    # Only root can run these two.
    chain = dropping_chain(output_of("nft", "--json", "list", "ruleset") or "{}", port)
    if chain is not None:
        return "nftables", _for_each(networks, lambda one: _nft(chain, one, port))
    if drops(output_of("iptables", "--list-rules", "INPUT") or "", port):
        return "iptables", _for_each(networks, lambda one: _iptables(one, port))
    return None


def _for_each(networks: Sequence[Network], command: Callable[[Network], str]) -> str:
    return "\n".join(map(command, networks))


def _firewalld(network: Network, port: int) -> str:
    rule = f"rule family=ipv{network.version} source address={network} port port={port} protocol=tcp accept"
    return f"sudo firewall-cmd --add-rich-rule='{rule}'"


def _nft(chain: str, network: Network, port: int) -> str:
    protocol = "ip6" if network.version == 6 else "ip"
    return f"sudo nft insert rule {chain} {protocol} saddr {network} tcp dport {port} accept"


def _iptables(network: Network, port: int) -> str:
    program = "ip6tables" if network.version == 6 else "iptables"
    return f"sudo {program} --insert INPUT --source {network} --protocol tcp --dport {port} --jump ACCEPT"


def is_ufw_enabled(settings: Path) -> bool:
    """Read ufw's settings, because only root can read its rules."""
    try:
        return re.search(r"^ENABLED=yes\b", settings.read_text(), re.MULTILINE) is not None
    except OSError:
        return False


def dropping_chain(ruleset: str, port: int) -> str | None:
    """Return `family table chain` of a chain that drops incoming packets; None if a rule names the port.

    `ruleset` is libnftables-json(5), `{"nftables": [{"chain": {…}}, {"rule": {…}}, …]}`.
    """
    if re.search(rf"\b{port}\b", ruleset):
        return None
    objects: list[dict[str, Any]] = json.loads(ruleset).get("nftables", [])
    rules = [one["rule"] for one in objects if "rule" in one]
    for chain in (one["chain"] for one in objects if "chain" in one):
        place = (chain["family"], chain["table"], chain["name"])
        last = [rule for rule in rules if (rule["family"], rule["table"], rule["chain"]) == place][-1:]
        ends = {verdict for rule in last for statement in rule.get("expr", []) for verdict in statement}
        if chain.get("hook") == "input" and (chain.get("policy") == "drop" or ends & {"drop", "reject"}):
            return " ".join(place)
    return None


def drops(rules: str, port: int) -> bool:
    """True if `iptables --list-rules INPUT` drops packets by default and no rule names the port."""
    lines = rules.splitlines()
    if not lines or re.search(rf"\b{port}\b", rules):
        return False
    return lines[0] == "-P INPUT DROP" or re.search(r"^-A INPUT -j (DROP|REJECT)\b", lines[-1]) is not None
