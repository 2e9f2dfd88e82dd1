"""Simulators with one instance of a model, and requests that run on it at once."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp

from lmgateway.simulator import Pace, Simulator, Switches, serve
from tests.support.waiting import PATIENCE_SECONDS

GGUF = "qwen2.5-7b-instruct"
MLX = {"modelKey": "mlx-model", "format": "safetensors", "maxContextLength": 4096}


class Simulation:
    """A simulator with an instance of a model, and a client."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession, model: str) -> None:
        self.simulator = simulator
        self.ledger = simulator.ledger
        self.instance = simulator.load(model)
        self._http = http

    def ask(self, text: str = "Hello", **more: object) -> asyncio.Task[tuple[int, str]]:
        messages = [{"role": "user", "content": text}]
        body = {"model": self.instance.identifier, "messages": messages, **more}
        return asyncio.create_task(self._post("/v1/chat/completions", body))

    def embed(self) -> asyncio.Task[tuple[int, str]]:
        return asyncio.create_task(
            self._post("/v1/embeddings", {"model": self.instance.identifier, "input": "x"})
        )

    async def models(self) -> None:
        async with self._http.get("/v1/models") as response:
            await response.read()

    def state(self) -> dict[str, object]:
        return self.instance.processing_state()

    async def count(self, **counts: int) -> None:
        await asyncio.wait_for(self.ledger.wait(**counts), PATIENCE_SECONDS)

    async def _post(self, path: str, body: object) -> tuple[int, str]:
        async with self._http.post(path, json=body) as response:
            return response.status, await response.text()


class Simulations:
    """Starts simulators, which end with the test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def start(self, pace: Pace, model: str = GGUF, **switches: object) -> Simulation:
        simulator = Simulator(pace=pace, switches=Switches(**switches), extra_models=[MLX])  # type: ignore[arg-type]
        port = await self._stack.enter_async_context(serve(simulator, "127.0.0.1", 0))
        http = await self._stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        return Simulation(simulator, http, model)


def statuses(answers: list[tuple[int, str]]) -> list[int]:
    return [status for status, _ in answers]
