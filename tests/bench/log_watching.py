"""What it costs to watch LM Studio's log, and how late one hears of a line: polling beside two libraries.

    python -m tests.bench.log_watching --seconds 30

The libraries (`pip install watchfiles watchdog`) are measured if installed; the gateway needs neither.
`idle` is processor time while nothing is written, in percent of one core. `delay` is from the write until it
is known. `folder` is from the making of a log folder that wasn't there until its first line is known.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from lmgateway.boxes.log.follower import LogFollower
from lmgateway.boxes.log.publisher import Publisher
from lmgateway.observe.event_stream import Events

Watching = Callable[[Path, asyncio.Event], contextlib.AbstractAsyncContextManager[None]]
LINE = "[2025-12-31 20:33:33][INFO][model] Prompt processing progress: 36.6%\n"
WRITES = 40


@asynccontextmanager
async def running(work: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def polling(seconds: float) -> Watching:
    @asynccontextmanager
    async def watch(directory: Path, known: asyncio.Event) -> AsyncIterator[None]:
        events = Events()

        async def listen() -> None:
            with events.subscribe(("debug_log",)) as subscription:
                while await subscription.next():
                    known.set()

        follower = LogFollower(directory, Publisher(events), poll_seconds=seconds)
        async with running(asyncio.create_task(listen())), running(asyncio.create_task(follower.run())):
            yield

    return watch


def by_watchfiles(**options: int) -> Watching:
    @asynccontextmanager
    async def watch(directory: Path, known: asyncio.Event) -> AsyncIterator[None]:
        from watchfiles import awatch

        async def listen() -> None:
            async for _ in awatch(directory, **options):
                known.set()

        async with running(asyncio.create_task(listen())):
            yield

    return watch


@asynccontextmanager
async def by_watchdog(directory: Path, known: asyncio.Event) -> AsyncIterator[None]:
    from watchdog.events import FileModifiedEvent, FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    loop = asyncio.get_running_loop()

    class Handler(FileSystemEventHandler):
        def on_modified(self, event: FileSystemEvent) -> None:
            if isinstance(event, FileModifiedEvent):
                loop.call_soon_threadsafe(known.set)

    observer = Observer()
    observer.schedule(Handler(), str(directory), recursive=True)
    observer.start()
    try:
        yield
    finally:
        observer.stop()
        observer.join()


def year(directory: Path) -> Path:
    """Make what a year leaves behind, and return the newest file."""
    for month in range(1, 13):
        folder = directory / f"2025-{month:02}"
        folder.mkdir(parents=True)
        for day in range(1, 32):
            for number in (1, 2, 3):
                (folder / f"2025-{month:02}-{day:02}.{number}.log").write_text(LINE)
    return directory / "2025-12" / "2025-12-31.3.log"


async def idle(watching: Watching, seconds: float) -> str:
    with tempfile.TemporaryDirectory() as name:
        year(Path(name) / "logs")
        async with watching(Path(name) / "logs", asyncio.Event()):
            await asyncio.sleep(1)
            before = time.process_time()
            await asyncio.sleep(seconds)
            return f"{(time.process_time() - before) / seconds:8.3%}"


async def delay(watching: Watching) -> str:
    with tempfile.TemporaryDirectory() as name:
        path, known, delays = year(Path(name) / "logs"), asyncio.Event(), []
        pauses = random.Random(1)
        async with watching(Path(name) / "logs", known):
            await asyncio.sleep(1)
            for _ in range(WRITES):
                await asyncio.sleep(pauses.uniform(0.3, 0.6))
                known.clear()
                began = time.perf_counter()
                with path.open("a") as file:
                    file.write(LINE)
                await asyncio.wait_for(known.wait(), 10)
                delays.append((time.perf_counter() - began) * 1000)
        return f"{statistics.median(delays):7.1f} ms {max(delays):7.1f} ms"


async def folder(watching: Watching) -> str:
    with tempfile.TemporaryDirectory() as name:
        month, known = Path(name) / "logs" / "2025-12", asyncio.Event()
        try:
            async with watching(Path(name) / "logs", known):
                await asyncio.sleep(1)
                began = time.perf_counter()
                month.mkdir(parents=True)
                (month / "2025-12-31.1.log").write_text(LINE)
                await asyncio.wait_for(known.wait(), 5)
                return f"{(time.perf_counter() - began) * 1000:.1f} ms"
        except TimeoutError:
            return "never"
        except OSError as exc:
            return f"{type(exc).__name__}: the folder must be there"


async def main(seconds: float) -> None:
    # The follower's warning about a missing folder is not for this output.
    logging.disable()
    methods: dict[str, Watching] = {f"polling, {s * 1000:.0f} ms": polling(s) for s in (1, 0.25, 0.1, 0.05)}
    if find_spec("watchfiles"):
        methods["watchfiles"] = by_watchfiles()
        methods["watchfiles, impatient"] = by_watchfiles(debounce=50, step=10)
    if find_spec("watchdog"):
        methods["watchdog"] = by_watchdog
    print(f"{'':22} {'idle':>8}  {'delay: median':>10} {'worst':>10}  folder")
    # The event loop's own share, to be taken off.
    methods = {"nothing": lambda directory, known: contextlib.nullcontext(), **methods}
    for name, watching in methods.items():
        late = f"{'-':>10} {'-':>10}" if name == "nothing" else await delay(watching)
        made = "-" if name == "nothing" else await folder(watching)
        print(f"{name:22} {await idle(watching, seconds)}  {late}  {made}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30, help="how long to stay idle with each method")
    asyncio.run(main(parser.parse_args().seconds))
