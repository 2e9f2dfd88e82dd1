"""What is measured side by side, and what each needs to be there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .accounts import Account
from .gateway import everything_on, nothing_on, with_jemalloc
from .place import Place, Running
from .processes import answers, free_port, running
from .wire import Door

# It doesn't start without one.
LITELLM_KEY = "sk-a-key-for-the-benchmark-0123456789"
RIVALS = Path(__file__).with_name("rivals")


@dataclass(frozen=True)
class Target:
    """`commands`, `modules` and `libraries` must be there; `by_default` it needn't be named."""

    name: str
    title: str
    start: Callable[[Place], AbstractAsyncContextManager[Running]]
    commands: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    by_default: bool = True

    def missing(self) -> list[str]:
        commands = [name for name in self.commands if shutil.which(name) is None]
        modules = [name for name in self.modules if find_spec(name) is None]
        return commands + modules + [name for name in self.libraries if find_library(name) is None]


@asynccontextmanager
async def direct(place: Place) -> AsyncIterator[Running]:
    yield Running(Door(place.studio_port), None)


@asynccontextmanager
async def rival(
    place: Place, door: Door, *command: str, folder: Path | None = None, **environ: str
) -> AsyncIterator[Running]:
    """Run a command that listens at the door."""
    log = (folder or place.folder("rival")) / "log"
    async with running(*command, core=place.target_core, log=log, environ=environ) as process:
        await answers(process, door, log)
        yield Running(door, Account(process.pid))


def python_rival(module: str) -> Callable[[Place], AbstractAsyncContextManager[Running]]:
    def start(place: Place) -> AbstractAsyncContextManager[Running]:
        door = Door(free_port())
        command = (sys.executable, "-m", f"tests.bench.rivals.{module}", str(door.port), place.studio_url)
        return rival(place, door, *command)

    return start


def configured_rival(
    configuration: str, *command: str, key: str | None = None, model: str | None = None, **environ: str
) -> Callable[[Place], AbstractAsyncContextManager[Running]]:
    """Return what starts a command with its configuration's path behind it.

    In the command too, @PORT@, @STUDIO_PORT@ and @FOLDER@ stand for what they are called.
    """

    def start(place: Place) -> AbstractAsyncContextManager[Running]:
        door, folder = Door(free_port(), key, model), place.folder(command[0])
        values = {"@PORT@": door.port, "@STUDIO_PORT@": place.studio_port, "@FOLDER@": folder}

        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace(name, str(value))
            return text

        file = folder / configuration
        file.write_text(fill((RIVALS / configuration).read_text()))
        return rival(place, door, *map(fill, command), str(file), folder=folder, **environ)

    return start


TARGETS = {
    target.name: target
    for target in (
        Target("direct", "no gateway at all", direct),
        Target("nginx", "nginx", configured_rival("nginx.conf", "nginx", "-e", "stderr", "-c"), ("nginx",)),
        Target("haproxy", "HAProxy", configured_rival("haproxy.cfg", "haproxy", "-db", "-f"), ("haproxy",)),
        Target("aiohttp", "bare aiohttp proxy", python_rival("bare_aiohttp")),
        Target("lmgateway", "lmgateway, everything on", everything_on),
        Target(
            "lmgateway-jemalloc",
            "lmgateway, everything on, jemalloc",
            with_jemalloc,
            libraries=("jemalloc",),
            by_default=False,
        ),
        Target("lmgateway-bare", "lmgateway, nothing on", nothing_on),
        Target(
            "fastapi",
            "FastAPI + httpx, a client per request",
            python_rival("fastapi_httpx"),
            modules=("fastapi", "httpx", "uvicorn"),
            by_default=False,
        ),
        Target(
            "litellm",
            "LiteLLM's proxy",
            configured_rival(
                "litellm.yaml",
                *("litellm", "--host", "127.0.0.1", "--port", "@PORT@", "--num_workers", "1", "--config"),
                key=LITELLM_KEY,
                model="bench",
                LITELLM_MASTER_KEY=LITELLM_KEY,
                LITELLM_TELEMETRY="False",
                # Else it asks the internet for prices when it starts.
                LITELLM_LOCAL_MODEL_COST_MAP="True",
            ),
            commands=("litellm",),
            by_default=False,
        ),
    )
}
