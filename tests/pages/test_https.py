"""The certificate of docs/security.md: made, served and trusted as the page says.

Only the address, the key and the port are replaced.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import ssl
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lmgateway.simulator import Pace, Simulator, serve
from tests.support.process import run_here, serving

from .documents import BLOCKS

KEY = "the-owner-s-key"
PAGE, SECTION = "docs/security.md", "https"
[TABLES, MAKE, TRY] = [block.text for block in BLOCKS if (block.page, block.section) == (PAGE, SECTION)]
CHAT = """
from openai import OpenAI
answer = OpenAI().chat.completions.create(
    model="qwen2.5-7b-instruct", max_tokens=5, messages=[{"role": "user", "content": "Hello!"}]
)
print(answer.object)
"""


async def end_of(*command: str, folder: Path, **environ: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode()


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[int]:
    """A gateway with the page's settings and certificate. Yields its port."""
    assert (await end_of("sh", "-euc", MAKE, folder=tmp_path))[0] == 0
    files = tomllib.loads(TABLES)["server"]
    text = TABLES.replace(files["tls_cert"], str(tmp_path / "tls.crt"))
    text = text.replace(files["tls_key"], str(tmp_path / "tls.key"))
    async with serve(Simulator(pace=Pace.instant()), "127.0.0.1", 0) as studio_port:
        text += f'[auth]\napi_key = "{KEY}"\n[lmstudio]\nbase_url = "http://127.0.0.1:{studio_port}"\n'
        (tmp_path / "config.toml").write_text(text)
        (tmp_path / "config.toml").chmod(0o600)
        async with serving(tmp_path) as (_, port):
            yield port


def at(port: int, command: str) -> list[str]:
    return shlex.split(command.replace("192.168.1.10:8002", f"127.0.0.1:{port}").replace("KEY", KEY))


async def test_a_self_signed_certificate_is_served_and_trusted(secured: int, tmp_path: Path) -> None:
    """By the command and by curl; without the file, both refuse it."""
    status, curl = (at(secured, line) for line in TRY.strip().splitlines())
    code, output = await run_here(*status[1:], cwd=tmp_path)
    assert (code, f"https://127.0.0.1:{secured}" in output) == (0, True), output
    code, output = await end_of(*curl, "--fail", folder=tmp_path)
    assert (code, '"object":"list"' in re.sub(r"\s", "", output)) == (0, True), output

    untrusting = [word for word in status[1:] if word not in {"--ca", "tls.crt"}]
    assert (await run_here(*untrusting, cwd=tmp_path))[0] == 69
    untrusting = [word for word in curl if word not in {"--cacert", "tls.crt"}]
    # curl(1): 60, the peer's certificate can't be authenticated.
    assert (await end_of(*untrusting, folder=tmp_path))[0] == 60


async def test_python_s_libraries_take_it_from_the_environment(secured: int, tmp_path: Path) -> None:
    variables = {"OPENAI_BASE_URL": f"https://127.0.0.1:{secured}/v1", "OPENAI_API_KEY": KEY}
    file = {"SSL_CERT_FILE": "tls.crt"}
    python = (sys.executable, "-c", CHAT)
    code, output = await end_of(*python, folder=tmp_path, **variables, **file)
    assert (code, output) == (0, "chat.completion\n")


async def test_it_passes_the_strict_check_of_newer_pythons(secured: int, tmp_path: Path) -> None:
    """Python 3.13 refuses an authority's certificate without keyUsage."""
    context = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("127.0.0.1", "localhost", "server.local"):
        _, writer = await asyncio.open_connection("127.0.0.1", secured, ssl=context, server_hostname=name)
        writer.close()
        await writer.wait_closed()
