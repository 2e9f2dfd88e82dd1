"""Promises about clocks, the environment's proxies, and counters that balance."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import lmgateway
from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import GET, request
from tests.support.gateway import Gateway
from tests.support.process import serving
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream, answer, silent

WALL_CLOCK = re.compile(r"\btime\.time\(|\bdatetime\.(now|utcnow|today)\(")
# Time stamps, file times, and the check of the clock itself.
MAY_TELL_THE_TIME = {"observe/clock.py", "boxes/log/folder.py", "cli/doctor/clock.py"}


def test_no_timeout_and_no_statistic_uses_a_clock_that_can_jump() -> None:
    package = Path(lmgateway.__file__).parent
    files = {str(file.relative_to(package)): file.read_text() for file in package.rglob("*.py")}
    tell = {name for name, text in files.items() if WALL_CLOCK.search(text)}
    assert {name for name in tell if not name.startswith("simulator/")} <= MAY_TELL_THE_TIME


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    environ = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    environ |= {"NETRC": str(netrc), "GATEWAY_API_KEY": KEY, "LMSTUDIO_BASE_URL": upstream.base_url}
    async with serving(tmp_path, **environ) as (_, port), raw_client(port) as client:
        assert (await client.ask(GET)).status == 200
    assert upstream.last.one("Authorization") is None


async def test_localhost_connects_within_300_ms_without_a_listener_on_ipv6(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(f"http://localhost:{upstream.port}")
    began = time.monotonic()
    async with gateway.client.get(gateway.url("/v1/models")) as response:
        assert response.status == 200
    assert time.monotonic() - began < 0.3


async def test_after_a_storm_of_aborts_nothing_runs_and_the_counters_balance(
    gateway: Gateway, connect: Connect, upstream: ScriptedUpstream
) -> None:
    upstream.script = silent
    for _ in range(50):
        async with connect() as client:
            await client.send(GET)
            await asyncio.wait_for(upstream.arrivals.get(), 5)
    for _ in range(50):
        await asyncio.wait_for(upstream.gone.get(), 5)
    upstream.script = answer()
    async with connect() as client:
        for _ in range(10):
            await client.send(GET)
            await client.answer()
        metrics = (await client.ask(request(b"GET /metrics"))).body.decode()
    counted = dict(re.findall(r'^lmgateway_requests_total\{.*status="(\w+)"\} (\S+)$', metrics, re.MULTILINE))
    assert counted == {"aborted": "50.0", "2xx": "10.0"}
    assert "lmgateway_in_flight 0.0" in metrics
