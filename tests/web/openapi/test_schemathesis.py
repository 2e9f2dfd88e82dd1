"""schemathesis generates requests from the document, valid and invalid, and finds no fault.

`LMGATEWAY_SCHEMATHESIS_EXAMPLES` is how many examples the long runs make up for each operation, in all of the
phases, with a key and without; `LMGATEWAY_SCHEMATHESIS_SEED` picks other ones:

    LMGATEWAY_SCHEMATHESIS_EXAMPLES=500 LMGATEWAY_SCHEMATHESIS_SEED=$RANDOM pytest -m long tests/web/openapi
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from lmgateway.schema.common import ModelType
from lmgateway.schema.models import ActivateRequest
from lmgateway.simulator import Pace, Simulator, serve
from lmgateway.web.state import MODELS
from tests.conftest import StartGateway

EXAMPLES = int(os.environ.get("LMGATEWAY_SCHEMATHESIS_EXAMPLES", "20"))
SEED = os.environ.get("LMGATEWAY_SCHEMATHESIS_SEED")
KEY = "the key of the house"
ACTIVE: dict[ModelType, str] = {
    "llm": "qwen2.5-7b-instruct",
    "embedding": "text-embedding-nomic-embed-text-v1.5",
}
CONFIG = Path(__file__).with_name("schemathesis.toml")
# Without the short paths, which lead to the same handler.
STUDIO = "--include-path-regex=^/(v1|api)/"
OWN = "--include-path-regex=^/(admin|debug|health|metrics|dashboard|docs|openapi.json|$)"


@pytest.mark.long
@pytest.mark.timeout(120 + 60 * EXAMPLES)
@pytest.mark.parametrize("key", [KEY, ""], ids=["key", "no key"])
@pytest.mark.parametrize("part", [OWN, STUDIO], ids=["own", "studio"])
async def test_it_finds_no_fault(start_gateway: StartGateway, tmp_path: Path, part: str, key: str) -> None:
    """Responses are as documented, and invalid requests are refused."""
    # Debug mode would make this three times as long.
    asyncio.get_running_loop().set_debug(False)
    simulator = Simulator(pace=Pace.instant())
    async with serve(simulator, "127.0.0.1", 0) as port:
        gateway = await start_gateway(f"http://127.0.0.1:{port}", auth={"api_key": key})
        for kind, model in ACTIVE.items():
            simulator.load(model)
            await gateway.app[MODELS].activate(ActivateRequest(model_key=model, type=kind))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}", "--no-color", "run"),
            *("--phases=examples,coverage,fuzzing,stateful", f"--max-examples={EXAMPLES}", part),
            # From the first key on, every request would need one.
            *([] if key else ["--exclude-path=/admin/keys"]),
            *(["--generation-deterministic"] if SEED is None else [f"--seed={SEED}"]),
            f"{gateway.base_url}/openapi.json",
            cwd=tmp_path,
            # Without the variables that would measure its coverage.
            env={"PATH": os.environ["PATH"], "LMGATEWAY_KEY": key or "none"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
