"""A simulator on a port of its own, and clients for it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import anthropic
import lmstudio
import openai
import pytest

from lmgateway.simulator import Pace, Simulator, serve
from lmgateway.simulator.engine.load_order import LoadOrder
from tests.support.node import node_modules
from tests.support.waiting import PATIENCE_SECONDS

from .simulations import Simulations

__all__ = ["node_modules"]

LLM = "qwen2.5-7b-instruct"
OTHER_LLM = "llama-3.2-3b-instruct"
EMBEDDING = "text-embedding-nomic-embed-text-v1.5"
MLX = {"modelKey": "gemma-mlx", "format": "safetensors", "path": "mlx-community/gemma-mlx"}
"""A model that `extra_models` may hold."""
TOKEN = "sk-lm-ABCDEFGH:abcdefghijklmnopqrst"


class Socket:
    """A WebSocket of the SDK's protocol, spoken by hand."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, **frame: object) -> None:
        await self._socket.send_json(frame)

    async def receive(self) -> dict[str, object]:
        return await self._socket.receive_json(timeout=PATIENCE_SECONDS)

    async def closed_with(self) -> int | None:
        message = await self._socket.receive(timeout=PATIENCE_SECONDS)
        assert message.type is aiohttp.WSMsgType.CLOSE
        return message.data

    async def authenticate(
        self, identifier: str = "somebody", passkey: str = "anything"
    ) -> dict[str, object]:
        await self.send(authVersion=1, clientIdentifier=identifier, clientPasskey=passkey)
        return await self.receive()

    async def call(self, endpoint: str, parameter: object = None) -> dict[str, object]:
        frame = {"type": "rpcCall", "endpoint": endpoint, "callId": 1}
        await self.send(**frame if parameter is None else {**frame, "parameter": parameter})
        return await self.receive()

    async def create(self, endpoint: str, parameter: object = None) -> None:
        frame = {"type": "channelCreate", "endpoint": endpoint, "channelId": 1}
        await self.send(**frame if parameter is None else {**frame, "creationParameter": parameter})

    async def packet(self, packet: object) -> None:
        await self.send(type="channelSend", channelId=1, message=packet)


def specifier(identifier: str) -> dict[str, object]:
    return {"type": "query", "query": {"identifier": identifier}}


def load_order(model_key: str = LLM, *fields: dict[str, object], **more: object) -> dict[str, object]:
    """The creation parameter of loadModel."""
    layers = [{"layerName": "apiOverride", "config": {"fields": fields}}]
    return {"modelKey": model_key, "loadConfigStack": {"layers": layers}, **more}


async def load_slowly(simulator: Simulator, model_key: str = LLM) -> None:
    """Load a model by hand, with a load's delays."""
    await simulator.load_slowly(LoadOrder(model=simulator.on_disk(model_key)))


def ask(text: str = "Hello", **more: object) -> dict[str, object]:
    """The body of a chat completion."""
    return {"model": LLM, "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    return tmp_path / "server-logs"


@pytest.fixture
def simulator(log_dir: Path) -> Simulator:
    return Simulator(pace=Pace.instant(), log_dir=log_dir)


@pytest.fixture
async def port(simulator: Simulator) -> AsyncIterator[int]:
    async with serve(simulator, "127.0.0.1", 0) as bound:
        yield bound


@pytest.fixture
async def http(port: int) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


class LeanClient(lmstudio.AsyncClient):
    """Opens three sockets and not five: each costs an SSL context, 30 ms that most tests don't need."""

    _ALL_SESSIONS = tuple(
        session
        for session in lmstudio.AsyncClient._ALL_SESSIONS
        if session.API_NAMESPACE in ("llm", "embedding", "system")
    )


@pytest.fixture
async def sdk(port: int) -> AsyncIterator[lmstudio.AsyncClient]:
    async with LeanClient(f"127.0.0.1:{port}") as client:
        yield client


@pytest.fixture
async def unchanged_sdk(port: int) -> AsyncIterator[lmstudio.AsyncClient]:
    async with lmstudio.AsyncClient(f"127.0.0.1:{port}") as client:
        yield client


@pytest.fixture
async def llm_socket(http: aiohttp.ClientSession) -> AsyncIterator[Socket]:
    async with http.ws_connect("/llm") as raw:
        socket = Socket(raw)
        assert await socket.authenticate() == {"success": True}
        yield socket


@pytest.fixture
async def openai_client(port: int) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key="unused",
        max_retries=0,
        # Without certificates to read, as there is no TLS.
        http_client=openai.DefaultAsyncHttpxClient(verify=False),
    ) as client:
        yield client


@pytest.fixture
async def anthropic_client(port: int) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=f"http://127.0.0.1:{port}",
        api_key="unused",
        max_retries=0,
        http_client=anthropic.DefaultAsyncHttpxClient(verify=False),
    ) as client:
        yield client


@pytest.fixture
async def guarded() -> AsyncIterator[str]:
    """The base URL of a simulator that requires TOKEN."""
    async with serve(Simulator(pace=Pace.instant(), api_token=TOKEN), "127.0.0.1", 0) as bound:
        yield f"http://127.0.0.1:{bound}"


@pytest.fixture
async def simulations() -> AsyncIterator[Simulations]:
    async with AsyncExitStack() as stack:
        yield Simulations(stack)
