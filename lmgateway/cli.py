"""The command line: serve, check, simulate, demo. The only place that prints and that sets exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import __version__, serving, settings
from .app import create_app
from .config import Config, decode_custom
from .errors import ConfigError
from .observe import logs
from .schema import ActivateRequest, ModelType
from .simulator import Simulator
from .simulator import serve as serve_simulator
from .state import MODELS

EX_OSERR = 71
EX_CONFIG = 78

DEMO_KEY = "demo"
DEMO_MODELS: dict[ModelType, str] = {
    "llm": "qwen2.5-7b-instruct",
    "embedding": "text-embedding-nomic-embed-text-v1.5",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except ConfigError as exc:
        for problem in exc.problems:
            print(f"lmgateway: {problem}", file=sys.stderr)
        return EX_CONFIG
    except serving.CannotListen as exc:
        print(f"lmgateway: {exc}", file=sys.stderr)
        return EX_OSERR
    except KeyboardInterrupt:
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lmgateway", description="A gateway in front of LM Studio.")
    parser.add_argument("--version", action="version", version=f"lmgateway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--config", type=Path, metavar="FILE", help="the TOML file to read")
    configured.add_argument("--host", help="the address to listen on (server.host)")
    configured.add_argument("--port", help="the port to listen on, 0 for any (server.port)")
    configured.add_argument("--log-level", help="error, warn, info or debug (logging.level)")
    configured.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="any setting, by its path in the file",
    )

    serve = commands.add_parser("serve", parents=[configured], help="run the gateway")
    serve.set_defaults(command=_serve)
    check = commands.add_parser("check", parents=[configured], help="say what is configured, and where")
    check.set_defaults(command=_check)
    simulate = commands.add_parser("simulate", help="run a pretend LM Studio")
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=int, default=1234)
    simulate.add_argument(
        "--log-dir", type=Path, help="write a server log like LM Studio's below this folder"
    )
    simulate.set_defaults(command=_simulate)
    demo = commands.add_parser("demo", help="run the gateway in front of a pretend LM Studio")
    demo.add_argument("--port", type=int, default=Config().server.port)
    demo.set_defaults(command=_demo)
    return parser


def _load(options: argparse.Namespace) -> settings.Loaded:
    command_line = {}
    for item in options.set:
        path, _, value = item.partition("=")
        command_line[path.strip()] = value
    named = {"server.host": options.host, "server.port": options.port, "logging.level": options.log_level}
    command_line.update({path: value for path, value in named.items() if value is not None})
    return settings.load(file=options.config, environ=os.environ, command_line=command_line)


def _serve(options: argparse.Namespace) -> int:
    config = _load(options).config
    logs.configure(config.logging.level, config.logging.format)

    async def serve() -> None:
        async with serving.listening(create_app(config), config.server.host, config.server.port) as port:
            print(f"lmgateway {__version__} listens on {_url(config.server.host, port)}", flush=True)
            if config.protected:
                print(
                    "Only this machine is served: neither auth.api_key nor network.ip_allowlist is set.",
                    flush=True,
                )
            await serving.until_told_to_stop()

    serving.run(serve)
    return 0


def _check(options: argparse.Namespace) -> int:
    loaded = _load(options)
    values = msgspec.structs.asdict(loaded.config)
    shown = []
    for path, setting in settings.SETTINGS.items():
        table, _, name = path.rpartition(".")
        value = getattr(values[table], name) if table else values[name]
        shown.append((f"{path} = {setting.show(value)}", loaded.origins[path]))
    width = max(len(line) for line, _ in shown)
    for line, origin in shown:
        print(f"{line:<{width}}  # {origin}")
    if loaded.config.protected:
        print("Only this machine is served: neither auth.api_key nor network.ip_allowlist is set.")
    return 0


def _simulate(options: argparse.Namespace) -> int:
    logs.configure("info", "auto")
    simulator = Simulator(log_dir=options.log_dir)

    async def simulate() -> None:
        app = simulator.make_app()
        async with serving.listening(app, options.host, options.port, drain_seconds=0) as port:
            print(f"A pretend LM Studio listens on {_url(options.host, port)}", flush=True)
            await serving.until_told_to_stop()

    serving.run(simulate)
    return 0


def _demo(options: argparse.Namespace) -> int:
    logs.configure("info", "auto")
    simulator = Simulator()

    async def demo() -> None:
        async with serve_simulator(simulator, "127.0.0.1", 0) as studio_port:
            overrides = {
                "lmstudio": {"base_url": f"http://127.0.0.1:{studio_port}"},
                "auth": {"api_key": DEMO_KEY},
            }
            config = msgspec.convert(overrides, Config, dec_hook=decode_custom)
            app = create_app(config)
            for kind, model_key in DEMO_MODELS.items():
                simulator.load(model_key)
                app[MODELS].activate(ActivateRequest(model_key=model_key, type=kind))
            async with serving.listening(app, "127.0.0.1", options.port) as port:
                print(_welcome(port), flush=True)
                await serving.until_told_to_stop()

    serving.run(demo)
    return 0


def _welcome(port: int) -> str:
    base = f"http://127.0.0.1:{port}"
    key, json = f"-H 'Authorization: Bearer {DEMO_KEY}'", "-H 'Content-Type: application/json'"
    chat = '{"messages": [{"role": "user", "content": "Hello!"}], "stream": true}'
    return f"""\
The gateway listens on {base}, with the key "{DEMO_KEY}"; behind it runs a pretend LM Studio. Try:

  curl {base}/v1/models {key}
  curl -N {base}/v1/chat/completions {key} {json} -d '{chat}'
  curl {base}/admin/models/activate {key} {json} -d '{{"modelKey": "llama-3.2-3b-instruct"}}'

Ctrl-C ends it."""


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
