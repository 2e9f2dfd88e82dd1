"""The simulator with each version of LM Studio's SDKs that people use."""

import asyncio
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from lmgateway.simulator import Simulator
from tests.support.node import INSTALL_SECONDS

from .conftest import EMBEDDING, LLM, OTHER_LLM, TOKEN

pytestmark = [pytest.mark.long, pytest.mark.timeout(INSTALL_SECONDS)]

HERE = Path(__file__).parent
RUN_SECONDS = 60
TWENTIETHS = pytest.approx([step / 20 for step in range(1, 21)])


async def run(*command: str | Path, **environment: str) -> dict[str, object]:
    """Run a script, and return the JSON that it prints."""
    environment["PATH"] = os.environ["PATH"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        printed, errors = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise AssertionError("a call never returned") from None
    assert process.returncode == 0, errors.decode()
    return json.loads(printed)


def check(results: dict[str, object]) -> None:
    """What both languages' scripts return alike."""
    assert results["progress"] == TWENTIETHS
    assert results["pieces"] == ["This", " is", " a", " simulate"]
    assert results["cancelled"] == "userStopped"
    assert results["template"] == "user:\nHello"
    assert (results["tokens"], results["count"]) == (2, 2)
    assert results["contextLength"] == 8192
    assert results["dimensions"] == 768
    assert results["left"] == 0


@pytest.mark.parametrize(
    ("version", "completion_api"), [("1.5", "sdk/predict"), ("2.0", "sdk/completeRawText")]
)
async def test_javascript(
    simulator: Simulator, port: int, node_modules: Path, version: str, completion_api: str
):
    """Every call of the JavaScript SDK returns; version 2 checks each result's schema."""
    results = await run(
        *("node", HERE / "sdk_client.cjs", f"lmstudio-{version}", f"ws://127.0.0.1:{port}"),
        NODE_PATH=str(node_modules),
    )
    check(results)
    assert [model["modelKey"] for model in results["downloaded"]][:2] == [LLM, OTHER_LLM]
    assert [model["identifier"] for model in results["loaded"]] == ["mine"]
    assert results["identifier"] == "mine"
    assert results["stats"]["stopReason"] == "maxPredictedTokensReached"
    assert results["completed"]["predictedTokensCount"] == 3
    assert 'Cannot find a model with path "no/such-model"' in results["unknownModel"]
    assert "No loaded model satisfies" in results["unknownInstance"]
    assert 'Cannot find a model with identifier "mine"' in results["unloaded"]
    assert completion_api in simulator.ledger.apis


async def test_javascript_with_a_token(guarded: str, node_modules: Path):
    """Version 2 sends an API token in two halves."""
    url = guarded.replace("http://", "ws://")
    results = await run(
        *("node", HERE / "sdk_client.cjs", "lmstudio-2.0", url, TOKEN), NODE_PATH=str(node_modules)
    )
    check(results)


def check_python(results: dict[str, object]) -> None:
    check(results)
    assert results["downloaded"][:4] == [LLM, OTHER_LLM, "qwen2.5-vl-7b-instruct", EMBEDDING]
    assert results["loaded"] == ["mine"]
    assert results["stopReason"] == "maxPredictedTokensReached"
    assert results["loadConfig"] == 8192
    assert results["unknownModel"] == "generic.pathNotFound"
    assert results["unknownInstance"] == "generic.noModelMatchingQuery"
    assert results["unloaded"] == "generic.identifierNotFound"


async def test_installed_python(port: int):
    """Every call of the Python SDK that the gateway uses returns."""
    check_python(await run(sys.executable, HERE / "sdk_client.py", f"127.0.0.1:{port}"))


@pytest.fixture(scope="module")
def newer_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the next version of the Python SDK."""
    folder = tmp_path_factory.mktemp("newer") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [python, "-m", "pip", "install", "--quiet", "lmstudio==1.6.0b1"]
    installed = subprocess.run(install, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"pip can't install lmstudio 1.6.0b1: {installed.stderr.strip()}")
    return python


async def test_newer_python(port: int, newer_python: Path):
    """Version 1.6.0b1 works too."""
    results = await run(newer_python, HERE / "sdk_client.py", f"127.0.0.1:{port}")
    assert results["version"] == "1.6.0b1"
    check_python(results)


async def test_newer_python_with_a_token(guarded: str, newer_python: Path):
    """Version 1.6.0b1 takes an API token from LMSTUDIO_API_TOKEN."""
    host = guarded.removeprefix("http://")
    check_python(await run(newer_python, HERE / "sdk_client.py", host, LMSTUDIO_API_TOKEN=TOKEN))
