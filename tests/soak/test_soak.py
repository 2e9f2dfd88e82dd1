"""The soak itself, for as long as a test may take."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_a_soak_passes() -> None:
    """Everything at once, LM Studio's death too, leaves the gateway as it was."""
    soak = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak", "--minutes", "2", "--seed", "1", "--json"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    summary = msgspec.json.decode((await soak.communicate())[0])
    assert (soak.returncode, summary["reasons"], summary["unexpected"]) == (0, [], [])
    assert summary["restarts"] > 0
    assert summary["proxied"]["completed"] > 3
