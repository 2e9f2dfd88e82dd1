"""Figures as Markdown."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .figures import Busy, Figures, Percentiles

# The load generator has nothing left at so much of its core, and then measures itself.
FULL_PERCENT = 90
NOTES = """\
CPU is user and system time of the target's processes. Latency is of one request after the other, first token
and gap are of 100 streams with 50 tokens a second; all three are what the target adds to direct. "Busy" is in
percent of a core: the target on its own / the fake LM Studio + the load on another / others, with no part in
this. Where that other core was full, the load could ask for no more: requests a second are "≥" then."""


def machine() -> str:
    """Return the date and the machine's kind."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    kind = models[0] if models else platform.machine()
    today = dt.datetime.now(tz=dt.UTC).date()
    cores, python = os.cpu_count(), platform.python_version()
    return f"{today}, {cores} cores of {kind}, Linux {platform.release()}, Python {python}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose source is aligned too; the first column is text, the others numbers."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def comparison(all_figures: Sequence[Figures]) -> str:
    """Return one row for each target; the first is direct, and the others' latencies are beyond its own."""
    headings = (
        "target", "requests/s", "CPU µs per request", "CPU µs per chunk", "latency p50 / p99 ms",
        "first token p50 / p99 ms", "gap p99 ms", "largest gap ms", "MB idle / after", "kB per stream",
        "busy % at requests", "busy % at streams",
    )  # fmt: skip
    return table(headings, [_row(figures, all_figures[0]) for figures in all_figures])


def _row(figures: Figures, direct: Figures) -> list[str]:
    requests, streams = figures.requests, figures.streams
    is_direct = figures.name == direct.name
    limited = requests.busy.studio + requests.busy.load > FULL_PERCENT
    gap = streams.added_gap_ms.p99 - (0 if is_direct else direct.streams.added_gap_ms.p99)
    return [
        figures.title,
        f"{'≥ ' if limited else ''}{requests.per_second:,.0f}",
        *("-" if is_direct else number(value) for value in (requests.cpu_us, streams.cpu_us)),
        _added(figures.latency_ms, None if is_direct else direct.latency_ms),
        _added(figures.first_token_ms, None if is_direct else direct.first_token_ms),
        f"{gap:.2f}",
        f"{streams.largest_gap_ms:.0f}",
        "-" if is_direct else f"{figures.idle_mb:.0f} / {figures.after_mb:.0f}",
        "-" if is_direct else f"{streams.stream_kb:.0f}",
        busy(requests.busy),
        busy(streams.busy),
    ]


def _added(measured: Percentiles, direct: Percentiles | None) -> str:
    if direct is None:
        return f"({measured.p50:.2f} / {measured.p99:.2f})"
    return f"{measured.p50 - direct.p50:.2f} / {measured.p99 - direct.p99:.2f}"


def busy(shares: Busy) -> str:
    return f"{shares.target:.0f} / {shares.studio:.0f} + {shares.load:.0f} / {shares.others:.0f}"


def ratios(rounds: Mapping[str, Sequence[Figures]]) -> str:
    """Return what the gateway is measured by: how it compares to others in the same round.

    A shared machine changes its pace within minutes, but less so within a round.
    """
    if "lmgateway" not in rounds:
        return ""
    lines = []

    def compare(what: str, unit: str, name: str, most: float, of: Callable[[Figures], float]) -> None:
        if not (theirs := rounds.get(name)):
            return
        pairs = [(of(ours), of(other)) for ours, other in zip(rounds["lmgateway"], theirs, strict=True)]
        # What is lost in the noise is nothing to divide by.
        quotients = [ours / other for ours, other in pairs if other > 0]
        ratio = f"{statistics.median(quotients):.2f} times" if quotients else "-"
        mine, other = (number(statistics.median(column)) for column in zip(*pairs, strict=True))
        lines.append(f"- {what}: {ratio} {theirs[0].title} ({mine} {unit}, {other}); at most {most:g}")

    direct_ms = statistics.median(each.first_token_ms.p50 for each in rounds["direct"])
    compare("CPU per request", "µs", "aiohttp", 1.25, lambda each: each.requests.cpu_us)
    compare("CPU per chunk", "µs", "aiohttp", 1.2, lambda each: each.streams.cpu_us)
    compare("CPU per chunk", "µs", "nginx", 4, lambda each: each.streams.cpu_us)
    compare("first token added, p50", "ms", "nginx", 2.5, lambda each: each.first_token_ms.p50 - direct_ms)
    ours, direct = (
        statistics.median(each.streams.added_gap_ms.p99 for each in rounds[name])
        for name in ("lmgateway", "direct")
    )
    lines.append(f"- gap added between tokens, p99: {ours - direct:.2f} ms (at most 20)")
    return "\n".join(lines)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
