"""`lmgateway doctor`: checks for common problems, and changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from ... import __version__, settings
from ...errors import ConfigError
from ...observe.clock import unix_time
from ...settings import destinations
from .. import machine
from ..options import read_settings
from ..output import Coloured, say, say_json
from . import (
    boxes,
    clock,
    configuration,
    demo_gateway,
    exposure,
    firewall,
    installation,
    keys,
    listening,
    service,
    storage,
)
from .findings import Finding, Level, Report

EX_CONFIG = 78
_COLOURS: dict[Level, str] = {"ok": "32", "note": "34", "warning": "33", "problem": "31"}


def doctor(options: argparse.Namespace) -> int:
    """Return 0 if there is no problem, 1 if there is one, 78 if the configuration is invalid."""
    # The findings contain what the gateway's own modules would log.
    logging.disable()
    try:
        loaded = read_settings(options)
    except ConfigError as exc:
        findings = [Finding.problem("configuration", problem) for problem in exc.problems]
        findings += installation.examine()
        status = EX_CONFIG
    else:
        findings = asyncio.run(_examine(loaded))
        status = int(any(finding.level == "problem" for finding in findings))
    if options.json:
        say_json(Report(__version__, tuple(findings)), indent=2)
    else:
        _print(findings)
    return status


async def _examine(loaded: settings.Loaded) -> list[Finding]:
    config, networks = loaded.config, machine.lan_addresses()
    is_demo = await demo_gateway.runs(config)
    studios, gateway, facts = await asyncio.gather(
        boxes.examine(loaded, networks, is_needed=not is_demo),
        _examine_gateway(loaded, networks, is_demo=is_demo),
        keys.read(loaded, runs=not is_demo),
    )
    needs_key = bool(config.auth.api_key) or facts.exist
    return [
        *installation.examine(),
        *clock.examine(loaded.file),
        *configuration.examine(loaded, has_named_keys=facts.exist, is_demo=is_demo),
        *exposure.examine(config, networks, needs_key=needs_key, is_container=machine.is_container()),
        *storage.examine(config.server.state_dir),
        *studios,
        *gateway,
        *keys.examine(facts, unix_time()),
        *service.examine(),
        *firewall.examine(config, networks),
    ]


async def _examine_gateway(
    loaded: settings.Loaded, networks: Sequence[machine.LanAddress], *, is_demo: bool
) -> list[Finding]:
    """Connect to the gateway, unless the key mustn't be sent to its address."""
    if is_demo:
        return [demo_gateway.describe(loaded.config)]
    if destinations.why_not_to_gateway(loaded) is not None:
        return []
    return await listening.examine(loaded.config, networks)


def _print(findings: list[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        level = Coloured(f"{finding.level:<7}", _COLOURS[finding.level])
        say(level, f" {finding.check:<{width}}  {finding.message}")
        for line in finding.remedy.splitlines():
            say(f"{'':7}  {'':{width}}  -> {line}")
    counts = Counter(finding.level for finding in findings)
    say(f"{_count(counts['problem'], 'problem')}, {_count(counts['warning'], 'warning')}")


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
