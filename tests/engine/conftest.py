"""A gateway in front of llama.cpp's server, with a recording relay between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import StartGateway
from tests.engine.llama_server import llama_server, model_in
from tests.support.gateway import Gateway
from tests.support.messages import Message
from tests.support.relay import Relay, recording_relay

CONTEXT_TOKENS = 2048
GENERATING = {"n_ctx": CONTEXT_TOKENS, "n_parallel": 1, "endpoint_slots": True, "endpoint_metrics": True}
EMBEDDING = {"n_ctx": CONTEXT_TOKENS, "n_parallel": 1, "embedding": True}


@dataclass
class Response(Message):
    status: int = 0


@dataclass
class Setup:
    """`port` is the server's own."""

    gateway: Gateway
    relay: Relay
    port: int

    async def ask(self, path: str, body: bytes) -> Response:
        """Return the gateway's response to this request."""
        headers = {"Content-Type": "application/json"}
        async with self.gateway.client.post(self.gateway.url(path), data=body, headers=headers) as response:
            return Response(list(response.headers.items()), await response.read(), response.status)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    model = model_in(tmp_path_factory.mktemp("model"))
    yield model
    # pytest keeps the folders of three sessions, and this one is large.
    model.unlink()


@pytest.fixture
def parameters() -> dict[str, object]:
    """The server's own, for a test to override."""
    return GENERATING


@pytest.fixture
async def setup(
    model: Path, parameters: dict[str, object], start_gateway: StartGateway
) -> AsyncIterator[Setup]:
    async with llama_server(model, parameters) as port, recording_relay(port) as relay:
        yield Setup(await start_gateway(relay.base_url), relay, port)
