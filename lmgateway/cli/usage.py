"""`lmgateway usage`: who used what, as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from ..observe.clock import iso_timestamp, unix_time
from .durations import duration
from .failures import EX_DATAERR, EX_USAGE, RequestFailed
from .gateway_client import GatewayClient
from .key_tables import local_time
from .models import ask_gateway
from .output import say, say_json, say_lines, say_table
from .times import checked

_AGO = re.compile(r"([0-9]{1,6})([dh])")
_HOURS = {"d": 24, "h": 1}
_COUNTS = {
    "requests": "REQUESTS",
    "errors": "ERRORS",
    "refused": "REFUSED",
    "promptTokens": "PROMPT",
    "completionTokens": "COMPLETION",
    "reasoningTokens": "REASONING",
    "untold": "UNTOLD",
    "gpuMs": "GPU TIME",
    "waitMs": "WAITED",
}


def usage(options: argparse.Namespace) -> int:
    if options.csv and options.json:
        raise RequestFailed("Choose one of --csv and --json", EX_USAGE)
    query = {
        "since": _time("--since", options.since),
        "until": _time("--until", options.until),
        "by": options.by,
    }
    asked = urlencode({name: value for name, value in query.items() if value is not None})

    async def ask(gateway: GatewayClient) -> int:
        if options.csv:
            text = await gateway.text(f"/admin/usage?{asked}&format=csv", "text/csv")
            say_lines(text.replace("\r\n", "\n").rstrip("\n"))
            return 0
        report = await gateway.request("GET", f"/admin/usage?{asked}")
        if options.json:
            say_json(report, indent=2)
        else:
            _print_table(report)
        return 0

    return ask_gateway(options, ask)


def _time(option: str, text: str | None) -> str | None:
    """Return the time in ISO 8601, also of one such as `30d` or `12h` ago. Raises RequestFailed."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is None:
        return checked(option, text)
    seconds = unix_time() - int(ago[1]) * _HOURS[ago[2]] * 3600
    if seconds < 0:
        raise RequestFailed(f"{text} is too long ago", EX_DATAERR)
    return iso_timestamp(seconds)


def _print_table(report: dict[str, Any]) -> None:
    by: Sequence[str] = report["by"]
    rows = [[*(_cell(name, row[name]) for name in by), *_shown(row)] for row in report["rows"]]
    if not rows:
        say(f"No request ended from {local_time(report['since'])} to {local_time(report['until'])}.")
        return
    head = [*map(str.upper, by), *_COUNTS.values()]
    if by:
        rows.append(["total", *[""] * (len(by) - 1), *_shown(report["total"])])
    say_table([head, *rows], numbers=range(len(by), len(head)))


def _cell(name: str, text: str) -> str:
    return local_time(text) if name == "hour" else text


def _shown(counts: dict[str, Any]) -> Iterable[str]:
    return (duration(counts[name]) if name.endswith("Ms") else f"{counts[name]:,}" for name in _COUNTS)
