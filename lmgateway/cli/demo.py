"""The commands that run a simulated LM Studio, alone or behind a gateway."""

from __future__ import annotations

import argparse
import tempfile

from .. import settings
from ..app import create_app
from ..boxes.sdk import library as sdk
from ..config import Config, Server
from ..errors import ConfigError
from ..observe import logs
from ..schema.common import ModelType
from ..schema.models import ActivateRequest
from ..server.connection_limits import ConnectionLimits
from ..server.listening import listening
from ..server.loop import Signals
from ..server.loop import run as run_loop
from ..server.sockets import bind
from ..simulator import Simulator, switches
from ..simulator import serve as serve_simulator
from ..storage.state_folder import why_unwritable
from ..web.state import MODELS
from .output import say, say_lines
from .private_file import CannotWrite
from .urls import url_of

DEMO_KEY = "demo"
DEMO_MODELS: dict[ModelType, str] = {
    "llm": "qwen2.5-7b-instruct",
    "embedding": "text-embedding-nomic-embed-text-v1.5",
}


def simulate(options: argparse.Namespace) -> int:
    if "help" in options.switch:
        say_lines("\n".join(f"{name}: {about}" for name, about in switches.descriptions().items()))
        return 0
    try:
        chosen = switches.parse(options.switch)
    except ValueError as exc:
        raise ConfigError([f"--switch: {exc}"]) from exc
    logs.configure("info", "auto", quiet=sdk.LOGGERS)
    if options.log_dir is not None and (reason := why_unwritable(options.log_dir)):
        raise CannotWrite(f"--log-dir: {options.log_dir} isn't writable: {reason}. Choose another folder.")
    simulator = Simulator(log_dir=options.log_dir, switches=chosen)

    async def run(signals: Signals) -> None:
        sockets = bind(options.host, options.port)
        # Without a drain, because LM Studio doesn't drain either.
        limits = ConnectionLimits(Config(server=Server(drain_seconds=0)))
        async with listening(simulator.make_app(), sockets, limits=limits) as port:
            say(f"A simulated LM Studio listens on {url_of(options.host, port)}")
            await signals.stop.wait()

    run_loop(run)
    return 0


def demo(options: argparse.Namespace) -> int:
    logs.configure("info", "auto", quiet=sdk.LOGGERS)
    simulator = Simulator()

    async def run(signals: Signals, state_dir: str) -> None:
        async with serve_simulator(simulator, "127.0.0.1", 0) as studio_port:
            tables = {
                "lmstudio": {"base_url": f"http://127.0.0.1:{studio_port}"},
                "server": {"host": "127.0.0.1", "state_dir": state_dir},
                "auth": {"api_key": DEMO_KEY},
            }
            loaded = settings.load_tables(tables, "demo")
            app = create_app(loaded.config, loaded.reports())
            async with listening(app, bind("127.0.0.1", options.port)) as port:
                for kind, model_key in DEMO_MODELS.items():
                    simulator.load(model_key)
                    await app[MODELS].activate(ActivateRequest(model_key=model_key, type=kind))
                say_lines(_welcome(port))
                await signals.stop.wait()

    # A temporary folder, so that the demo leaves no files behind.
    with tempfile.TemporaryDirectory() as state_dir:
        run_loop(lambda signals: run(signals, state_dir))
    return 0


def _welcome(port: int) -> str:
    base = f"http://127.0.0.1:{port}"
    key, json = f"-H 'Authorization: Bearer {DEMO_KEY}'", "-H 'Content-Type: application/json'"
    chat = '{"messages": [{"role": "user", "content": "Hello!"}], "stream": true}'
    return f"""\
The gateway listens on {base}, with the key "{DEMO_KEY}"; behind it runs a simulated LM Studio.
Watch it at {base}/dashboard, read its API at {base}/docs, and try:

  lmgateway chat 'Hello!' --url {base} --key {DEMO_KEY}
  curl {base}/v1/models {key}
  curl -N {base}/v1/chat/completions {key} {json} -d '{chat}'
  curl {base}/admin/models/activate {key} {json} -d '{{"modelKey": "llama-3.2-3b-instruct"}}'

Press Ctrl-C to stop it."""
