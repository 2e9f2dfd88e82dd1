"""A gateway under everything at once, for as long as one likes, and whether it is the same afterwards.

    python -m tests.soak --minutes 10

A real gateway in front of a pretend LM Studio that is killed now and then, and that answers some clients with
damage; some clients send damage too. Ends with status 0 if every
request got what its kind must get, and the gateway is left with nothing that it didn't have at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import aiohttp
import msgspec

from . import report
from .books import Books
from .client import CHAT_MODELS, EMBEDDING_MODEL, Client
from .load import Load
from .processes import Running, Studio, gateway
from .samples import SAMPLE_SECONDS, GatewayGone, Sample, Samples

LINE_SECONDS = 30
# A dead link to LM Studio's SDK takes 20 s to be let go of.
SETTLE_SECONDS = 30
RESTART_SECONDS = (60.0, 120.0)
DOWN_SECONDS = (0.2, 5.0)
# Before the end, so that LM Studio is back by then.
LAST_RESTART_SECONDS = 20
INTERRUPTED = 130


class Soak:
    """One run, from its first process to its last."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._seconds: float = options.minutes * 60
        self._seed: int = options.seed
        # Standard output is the summary's alone if a program reads it.
        self._table = sys.stderr if options.json else sys.stdout
        self.has_begun = False
        self._books = Books()
        self._gateway: Running
        self._studio: Studio
        self._load: Load
        self._samples: Samples

    async def run(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncExitStack() as stack:
                await self._start(stack, Path(folder))
                first = await self._samples.take()
                self.has_begun = True
                self._print(f"seed {self._seed}\n{report.heading(first)}")
                self._print_line(first)
                await self._alone(_warm_up)
                try:
                    async with self._load.running(), asyncio.TaskGroup() as group:
                        restarting = group.create_task(self._restart_now_and_then())
                        await self._watch()
                        restarting.cancel()
                    await self._settle(first)
                except* GatewayGone as gone:
                    self._print(f"the gateway is gone: {gone.exceptions[0]}")

    def summary(self) -> report.Summary:
        """The result, also of an interrupted run."""
        return report.summarize(
            self._seed, self._studio.restarts, self._load.results, self._samples, self._books, self._gateway
        )

    async def _start(self, stack: AsyncExitStack, folder: Path) -> None:
        self._studio = Studio(folder, str(self._seed))
        stack.push_async_callback(self._studio.stop)
        await self._studio.start()
        self._gateway = await stack.enter_async_context(gateway(self._studio.port, folder))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        )
        base_url = f"http://127.0.0.1:{self._gateway.port}"
        self._load = Load(self._gateway.port, self._studio, self._seed)
        self._samples = Samples(self._gateway.process.pid, session, base_url)
        await self._alone(_prepare)
        await stack.enter_async_context(self._books.following(session, base_url))

    async def _alone(self, kind: Callable[[Client], Awaitable[None]]) -> None:
        """Do this on connections that are closed afterwards."""
        async with aiohttp.ClientSession() as session:
            await kind(Client(session, self._gateway.port, Random(self._seed), str(self._seed)))

    async def _watch(self) -> None:
        """Look every few seconds, tell every now and then, until the time is over."""
        next_line, loop = LINE_SECONDS, asyncio.get_running_loop()
        end = loop.time() + self._seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(SAMPLE_SECONDS, left))
            sample = await self._samples.take()
            if sample.seconds >= next_line:
                next_line += LINE_SECONDS
                self._print_line(sample)

    async def _restart_now_and_then(self) -> None:
        """A short run has its restart too, and the last one is over before the run is."""
        choose, loop = Random(f"{self._seed}/restarts"), asyncio.get_running_loop()
        last = loop.time() + self._seconds - min(LAST_RESTART_SECONDS, self._seconds / 4)
        while True:
            down = min(choose.uniform(*DOWN_SECONDS), self._seconds / 12)
            await asyncio.sleep(min(choose.uniform(*RESTART_SECONDS), self._seconds / 4))
            if loop.time() > last:
                return
            await self._studio.restart(down)

    async def _settle(self, first: Sample) -> None:
        """Everybody has left: give the gateway the time it may take to notice."""
        for _ in range(SETTLE_SECONDS):
            last = await self._samples.take()
            if last.in_flight == 0 and last.descriptors <= first.descriptors and self._books.balanced:
                break
            await asyncio.sleep(1)
        self._print_line(last)

    def _print_line(self, sample: Sample) -> None:
        self._print(report.line(sample, self._load.results, self._studio.restarts))

    def _print(self, text: str) -> None:
        print(text, file=self._table, flush=True)


async def _prepare(client: Client) -> None:
    """Make models active, and have the gateway make its connection to LM Studio's SDK."""
    for kind, model in (("llm", CHAT_MODELS[0]), ("embedding", EMBEDDING_MODEL)):
        await client.ask("POST", "/admin/models/activate", json={"modelKey": model, "type": kind})
    await client.ask("GET", "/admin/models")


async def _warm_up(client: Client) -> None:
    """Have LM Studio load what is asked for most."""
    texts = [{"prompt": "2 words", "model": model} for model in CHAT_MODELS]
    await asyncio.gather(
        client.ask("POST", "/v1/embeddings", json={"input": "a text"}),
        *(client.ask("POST", "/v1/completions", json=text) for text in texts),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long (10)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="any by default")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, the table to stderr")
    options = parser.parse_args()
    soak = Soak(options)
    interrupted = False
    try:
        asyncio.run(soak.run())
    except KeyboardInterrupt:
        interrupted = True
    if not soak.has_begun:
        return INTERRUPTED
    summary = soak.summary()
    if interrupted:
        summary = msgspec.structs.replace(summary, reasons=["interrupted"])
    print(report.as_json(summary) if options.json else report.as_text(summary))
    if interrupted:
        return INTERRUPTED
    return 1 if summary.reasons else 0


if __name__ == "__main__":
    sys.exit(main())
