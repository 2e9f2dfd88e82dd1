"""A simulated LM Studio as a process of its own: `python -m tests.support.box_process --help`.

It prints its port, and each command when it has carried it out. Commands are lines of its standard input:

    refuse           close the port and every connection, as an LM Studio whose server is switched off
    drop             close the connection of each request for a generation, and answer all others
    serve            end both
    pace TOKENS PROMPT_TOKENS    a generation's speed from now on, in tokens a second

It ends when its standard input does, and at the latest after `--lifetime` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from lmgateway.simulator import Pace, Simulator, Switches

Event = Literal["received", "answering"]


class Receipts:
    """The file to which a line is written for each request, and another one before its answer's head is sent.

    Each line is written at once, so that none is lost when the process is killed.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, event: Event, request: web.Request) -> None:
        receipt = {
            "event": event,
            "method": request.method,
            "path": request.path,
            "request_id": request.headers.get("X-Request-Id", ""),
            "at": time.monotonic(),
        }
        os.write(self._file, json.dumps(receipt).encode() + b"\n")


class BoxServer:
    """The simulator on its port. `port` is 0 until it listens for the first time."""

    def __init__(self, simulator: Simulator, receipts: Receipts, port: int) -> None:
        self.port = port
        self.simulator = simulator
        self._receipts = receipts
        self._drops = False
        self._site: web.TCPSite | None = None
        app = simulator.make_app()
        app.middlewares.insert(0, self._receive)
        app.on_response_prepare.append(self._answering)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None)

    async def start(self) -> None:
        await self._runner.setup()
        await self.serve()

    async def serve(self) -> None:
        self._drops = False
        if self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024)
            await self._site.start()
            self.port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        if self._site is not None:
            await self._site.stop()
            self._site = None
        for connection in self._runner.server.connections if self._runner.server else ():
            connection.force_close()

    async def obey(self, line: str) -> None:
        """Carry out a command. Raises ValueError."""
        match line.split():
            case ["refuse"]:
                await self.refuse()
            case ["drop"]:
                self._drops = True
            case ["serve"]:
                await self.serve()
            case ["pace", tokens, prompt_tokens]:
                self.simulator.pace = pace_of(float(tokens), float(prompt_tokens))
            case _:
                raise ValueError(f"no command: {line}")

    @web.middleware
    async def _receive(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._receipts.write("received", request)
        if self._drops and request.method == "POST" and request.transport is not None:
            request.transport.abort()
        return await handler(request)

    async def _answering(self, request: web.Request, _response: web.StreamResponse) -> None:
        self._receipts.write("answering", request)


def pace_of(tokens: float, prompt_tokens: float, load_seconds: float = 1.0) -> Pace:
    return Pace(tokens_per_second=tokens, prompt_tokens_per_second=prompt_tokens, load_seconds=load_seconds)


async def run(options: argparse.Namespace) -> None:
    simulator = Simulator(
        pace=pace_of(options.tokens_per_second, options.prompt_tokens_per_second, options.load_seconds),
        # The requests of a box don't slow each other, so that its throughput is known.
        switches=Switches(parallel=options.slots, share_speed=False, prefill="ignore"),
    )
    for model in options.load:
        simulator.load(model)
    box = BoxServer(simulator, Receipts(options.receipts), options.port)
    await box.start()
    print(box.port, flush=True)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    loop.call_later(options.lifetime, commands.feed_eof)
    while line := (await commands.readline()).decode():
        await box.obey(line)
        print(line, end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--receipts", required=True, help="the file for a line of each request")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--load", action="append", default=[], help="a model that is in memory at the start")
    parser.add_argument("--slots", type=int, default=4, help="how many requests of a model run at once")
    parser.add_argument("--tokens-per-second", type=float, default=200.0, help="of each request")
    parser.add_argument("--prompt-tokens-per-second", type=float, default=20000.0)
    parser.add_argument("--load-seconds", type=float, default=1.0)
    parser.add_argument("--lifetime", type=float, default=900.0, help="after so many seconds it ends")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
