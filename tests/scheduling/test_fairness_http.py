"""Whom the machine's seconds go to, with the real gateway, its clients and the simulator over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Many times as long as it takes, for a machine that does other things too.
_PATIENCE_SECONDS = 110.0
_INHERITED = ("PATH", "HOME", "COVERAGE_PROCESS_CONFIG")


async def measured(case: str, *options: str, patience: float = _PATIENCE_SECONDS) -> dict[str, Any]:
    """Run the benchmark in a process of its own, whose clock skips the time in which nothing happens."""
    command = (sys.executable, "-m", "tests.bench.fairness", "--json", "--cases", case, *options)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, errors = await asyncio.wait_for(process.communicate(), patience)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode in {0, 1}, errors.decode()
    return dict(json.loads(printed))


async def test_two_keys_get_half_each() -> None:
    """Whether a key keeps 20 requests in line or 4, LM Studio's seconds are split evenly."""
    results = await measured("equal", "--minutes", "3")
    halves, agreement = results["figures"]
    assert results["broken"] == []
    assert halves["value"] == pytest.approx(50, abs=5)
    # What the line is for: without it, who asks more often gets more (20:4).
    assert halves["without"] < 30
    assert agreement["value"] < 1


async def test_two_models_with_room_for_one() -> None:
    """No answer is cut off, loads take little of the time, and the seconds are split among the keys."""
    results = await measured("swaps", "--minutes", "10")
    smallest, largest, loading, _, cut_off = results["figures"]
    assert [smallest["value"], largest["value"]] == pytest.approx([25, 25], abs=6)
    assert 0 < loading["value"] <= 20
    assert cut_off["value"] == 0


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "case",
    [
        "equal",
        "shares",
        "lengths",
        "silence",
        "retries",
        "background",
        "swaps",
        "loads",
        "guest",
        "saturated",
    ],
)
async def test_the_line_keeps_its_promises(case: str) -> None:
    """Each figure of half an hour is within its target."""
    results = await measured(case, patience=1100)
    assert results["broken"] == [], results["figures"]
