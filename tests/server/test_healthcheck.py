"""Docker's health check, beside the real command and with its configuration."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
import trustme

from tests.support.process import lmgateway
from tests.support.upstream import ScriptedUpstream, answer, raw

SCRIPT = Path(__file__).parents[2] / "docker" / "healthcheck.py"


async def check(cwd: Path, **environ: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({}, 200),
        ({"GATEWAY_HOST": "::"}, 200),
        ({"GATEWAY_API_KEY": "k", "REQUIRE_AUTH_FOR_HEALTH": "true"}, 401),
        ({"IP_ALLOWLIST": "192.0.2.1"}, 403),
    ],
    ids=["plain", "dual stack", "health asks for the key", "not on the allowlist"],
)
async def test_a_gateway_that_answers_is_healthy(
    tmp_path: Path, environ: dict[str, str], status: int
) -> None:
    """Whatever the status."""
    async with lmgateway("serve", "--port", "0", cwd=tmp_path, **environ) as gateway:
        port = await gateway.port()
        found = await check(tmp_path, GATEWAY_PORT=str(port), **environ)
    assert found == (0, f"/health answers {status}\n")


async def test_a_gateway_that_speaks_https_is_healthy(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("gateway.example")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    environ = {"GATEWAY_TLS_CERT": str(certificate), "GATEWAY_TLS_KEY": str(key)}
    async with lmgateway("serve", "--port", "0", cwd=tmp_path, **environ) as gateway:
        port = await gateway.port()
        found = await check(tmp_path, GATEWAY_PORT=str(port), **environ)
    assert found == (0, "/health answers 200\n")


async def test_a_failing_or_silent_gateway_is_unhealthy(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = answer(b"", status="500 Internal Server Error")
    assert await check(tmp_path, GATEWAY_PORT=str(upstream.port)) == (1, "/health answers 500\n")
    upstream.script = raw()
    status, output = await check(tmp_path, GATEWAY_PORT=str(upstream.port))
    assert status == 1
    assert output.startswith("no answer: ")
    assert "Traceback" not in output


async def test_a_configuration_with_a_mistake_is_unhealthy(tmp_path: Path) -> None:
    assert await check(tmp_path, GATEWAY_PORT="x") == (
        1,
        'no answer: environment: GATEWAY_PORT: invalid value "x", expected a whole number from 0 to 65535\n',
    )
