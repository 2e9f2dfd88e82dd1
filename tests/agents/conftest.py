"""Claude Code and Codex, set up for a gateway before a simulated LM Studio that refuses requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.programs import Program
from tests.agents.refusing_studio import MODEL, RefusingStudio, refusing_studio
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.node import installed

KEY = "the-key"
# The switches by which nothing but the gateway is asked.
CLAUDE_QUIET = (
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_AUTOUPDATER",
    "DISABLE_ERROR_REPORTING",
    "DISABLE_TELEMETRY",
)
CODEX_CONFIG = """
model = "{model}"
model_provider = "lmgateway"
[model_providers.lmgateway]
name = "lmgateway"
base_url = "{base_url}/v1"
env_key = "LMGATEWAY_API_KEY"
wire_api = "responses"
[analytics]
enabled = false
[features]
plugins = false
"""


@pytest.fixture(scope="session")
def commands() -> Path:
    return installed(Path(__file__).with_name("package.json")) / ".bin"


@pytest.fixture
async def studio() -> AsyncIterator[RefusingStudio]:
    async with refusing_studio() as studio:
        yield studio


@pytest.fixture
async def gateway(start_gateway: StartGateway, studio: RefusingStudio) -> Gateway:
    return await start_gateway(studio.base_url, auth={"api_key": KEY})


@pytest.fixture
def claude(commands: Path, gateway: Gateway, tmp_path: Path) -> Program:
    models = ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL")
    environ = {
        "ANTHROPIC_BASE_URL": gateway.base_url,
        "ANTHROPIC_AUTH_TOKEN": KEY,
        **dict.fromkeys(models, MODEL),
        **dict.fromkeys(CLAUDE_QUIET, "1"),
    }
    return Program(commands / "claude", tmp_path, environ)


@pytest.fixture
def codex(commands: Path, gateway: Gateway, tmp_path: Path) -> Program:
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(CODEX_CONFIG.format(model=MODEL, base_url=gateway.base_url))
    return Program(commands / "codex", tmp_path, {"CODEX_HOME": str(home), "LMGATEWAY_API_KEY": KEY})
