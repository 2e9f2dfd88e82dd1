"""A gateway with an owner's key and named keys, in front of a simulator or a scripted LM Studio."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from lmgateway.simulator import Pace, Simulator, Switches
from tests.conftest import StartGateway
from tests.support import keys
from tests.support.gateway import Gateway
from tests.support.home import QUICK
from tests.support.studio import Studio, running_studio

OWNER = {"X-API-Key": keys.OWNER}
KEYED: dict[str, Any] = {"auth": {"api_key": keys.OWNER}, "lmstudio": QUICK}
LLM, OTHER_LLM = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"
EMBEDDING = "text-embedding-nomic-embed-text-v1.5"
CHAT, RESPONSES, NATIVE = "/v1/chat/completions", "/v1/responses", "/api/v1/chat"
HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}

Key = Mapping[str, str]


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error in OpenAI's shape."""
        return str(self.json["error"]["code"])


async def make_key(gateway: Gateway, name: str = "kid", **settings: object) -> Key:
    """Make a named key, and return the header field that sends it."""
    return keys.bearer(await keys.make_key(gateway, name, **settings))


async def ask(
    gateway: Gateway, key: Key, path: str, body: object = None, method: str = "", **headers: str
) -> Reply:
    """Send a request: a GET, or a POST of this JSON, or of these bytes."""
    text = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    data = None if text is None else io.BytesIO(text)
    fields = {**key, "Content-Type": "application/json"} if data is not None else dict(key)
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    method = method or ("GET" if data is None else "POST")
    async with gateway.client.request(method, gateway.url(path), data=data, headers=fields) as response:
        return Reply(response.status, response.headers, await response.read())


@dataclass
class Household:
    gateway: Gateway
    studio: Studio

    @property
    def simulator(self) -> Simulator:
        return self.studio.simulator

    async def key(self, name: str = "kid", **settings: object) -> Key:
        return await make_key(self.gateway, name, **settings)

    async def ask(self, key: Key, path: str, body: object = None, method: str = "", **headers: str) -> Reply:
        return await ask(self.gateway, key, path, body, method, **headers)

    async def activate(self, model_key: str, **more: object) -> None:
        body = {"modelKey": model_key, **more}
        reply = await self.ask(OWNER, "/admin/models/activate", body)
        assert reply.status == 200, reply.body


@asynccontextmanager
async def household(
    start_gateway: StartGateway, switches: Switches | None = None, **tables: object
) -> AsyncIterator[Household]:
    async with running_studio(Simulator(pace=Pace.instant(), switches=switches)) as studio:
        yield Household(await start_gateway(studio.base_url, **KEYED, **tables), studio)
