"""Promises about those who ask beside the worst requests that anybody can send."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.wire import Door
from tests.bench.worst import waits
from tests.bench.worst_inputs import CONTROL, WORST, Worst
from tests.hostile.conftest import KEY
from tests.hostile.gateway_process import running_process
from tests.hostile.test_big_bodies import LIMIT, MAX_BODY_BYTES
from tests.support.upstream import ScriptedUpstream

# A machine that does something else for a moment doesn't do so each time.
ATTEMPTS = 3
# The longest of all waits beside a body that is only passed on is one, too.
TIMES_THE_CONTROL = 5
LEAST_ALLOWED_MS = 100.0
GROUPS = 4


# They take 8 s each, so the first tier has one.
@pytest.mark.long
@pytest.mark.parametrize("group", range(GROUPS))
async def test_nobody_waits_for_another_ones_request(
    tmp_path: Path, upstream: ScriptedUpstream, group: int
) -> None:
    """/health is answered beside each of them about as fast as beside an upload that is only passed on."""
    async with running_process(tmp_path, upstream.base_url, LIMIT) as gateway:
        door = Door(gateway.port, KEY)
        pids = (gateway.process.pid, os.getpid())
        waited = {each.title: await longest_wait(door, each, pids) for each in WORST[group::GROUPS]}
    assert {title: (wait, allowed) for title, (wait, allowed) in waited.items() if wait > allowed} == {}


async def longest_wait(door: Door, worst: Worst, pids: tuple[int, ...]) -> tuple[float, float]:
    """Return the longest wait beside this request, and how long it may be, in ms."""

    def kept_waiting() -> int:
        accounts = [Path(f"/proc/{pid}/schedstat") for pid in pids]
        return sum(int(account.read_text().split()[1]) for account in accounts if account.exists())

    size = min(worst.most, MAX_BODY_BYTES - 1024)
    for _ in range(ATTEMPTS):
        control = await waits(door, CONTROL, size, kept_waiting=kept_waiting)
        allowed = max(LEAST_ALLOWED_MS, TIMES_THE_CONTROL * control.worst)
        wait = (await waits(door, worst, size, kept_waiting=kept_waiting)).worst
        if wait <= allowed:
            break
    return wait, allowed
