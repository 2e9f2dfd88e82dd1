"""`lmgateway usage`: who used what."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from typing import Any

import pytest

from lmgateway.observe.clock import hour_start, iso_timestamp, unix_time
from lmgateway.observe.usage import Counts, UsageRow
from lmgateway.storage.usage import SavedUsage
from lmgateway.web.state import DATABASE
from tests.cli.conftest import Commands

HOUR = 3600
NOON = 1_796_040_000  # 2026-11-30T12:00:00Z
DAY = ("--since", "2026-11-30T00:00:00Z", "--until", "2026-12-01T00:00:00Z")
ALICE = Counts(1200, 3, 14, 1_234_567, 89_012, 4_000, 3_723_000, 59_940, 2)


async def add(commands: Commands, *rows: tuple[int, str, str, Counts]) -> None:
    for hour, key, model, counts in rows:
        await SavedUsage(commands.gateway.app[DATABASE]).add({UsageRow(hour, key, model, "lmstudio"): counts})


async def test_table(commands: Commands) -> None:
    """Numbers are aligned and easy to read; the last line is the sum."""
    await add(
        commands,
        (NOON, "alice", "qwen/qwen3-8b", ALICE),
        (NOON + HOUR, "bob", "", Counts(refused=5)),
    )
    assert await commands.run("usage", *DAY, "--by", "key,model") == (
        0,
        """\
KEY    MODEL          REQUESTS  ERRORS  REFUSED     PROMPT  COMPLETION  REASONING  UNTOLD  GPU TIME  WAITED
alice  qwen/qwen3-8b     1,200       3       14  1,234,567      89,012      4,000       2   1:02:03   59.9s
bob                          0       0        5          0           0          0       0      0.0s    0.0s
total                    1,200       3       19  1,234,567      89,012      4,000       2   1:02:03   59.9s
""",
    )


async def test_hours_are_shown_in_this_machines_zone(commands: Commands) -> None:
    """As a date and a time, not as ISO 8601."""
    await add(commands, (NOON, "alice", "", Counts(requests=1)))
    status, output = await commands.run("usage", *DAY, "--by", "hour")
    noon = datetime.fromtimestamp(NOON).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006
    assert (status, output.splitlines()[1].startswith(f"{noon}  ")) == (0, True)


async def test_without_requests_it_says_so(commands: Commands) -> None:
    """With the times in this machine's zone."""
    since, until = (
        datetime.fromisoformat(day).astimezone().strftime("%Y-%m-%d %H:%M") for day in (DAY[1], DAY[3])
    )
    assert await commands.run("usage", *DAY) == (0, f"No request ended from {since} to {until}.\n")


@pytest.mark.parametrize(("since", "keys"), [("2h", {"now"}), ("2d", {"now", "yesterday"})])
async def test_how_long_ago(commands: Commands, since: str, keys: set[str]) -> None:
    """Days and hours back from now; by default until now."""
    hour = hour_start(unix_time())
    one = Counts(requests=1)
    await add(commands, (hour, "now", "", one), (hour - 26 * HOUR, "yesterday", "", one))
    await add(commands, (hour - 72 * HOUR, "before", "", one))
    status, output = await commands.run("usage", "--since", since, "--by", "key", "--json")
    assert status == 0
    report: dict[str, Any] = json.loads(output)
    assert {row["key"] for row in report["rows"]} == keys
    assert report["since"] <= iso_timestamp(unix_time() - {"2h": 2, "2d": 48}[since] * HOUR)


async def test_csv(commands: Commands) -> None:
    await add(commands, (NOON, "alice", "=1+1", ALICE))
    status, output = await commands.run("usage", *DAY, "--by", "model", "--csv")
    head, line = csv.reader(output.splitlines(), strict=True)
    assert (status, head[:2], line) == (0, ["model", "requests"], ["'=1+1", *map(str, ALICE.values())])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--since", "soon"), 65, "--since soon: write 30d or 12h for a span, 2026-01-31 for a date"),
        (("--since", "999999d"), 65, "too long ago"),
        (("--by", "person"), 65, "by: Unknown dimension; there are month, day, hour, key, model, box"),
        (("--csv", "--json"), 64, "--csv and --json"),
    ],
)
async def test_what_can_not_be_asked(
    commands: Commands, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """One line says what can."""
    failed, output = await commands.run("usage", *arguments)
    assert failed == status
    (line,) = output.splitlines()
    assert line.startswith("lmgateway: ")
    assert words in line
