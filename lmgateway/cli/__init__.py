"""The command line. The only place that prints and that sets exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..config import Config
from ..errors import CannotListen, ConfigError
from .failures import EX_CANTCREAT, EX_CONFIG, EX_OSERR, RequestFailed
from .private_file import CannotWrite

INTERRUPTED = 130
# What a shell makes of SIGPIPE
UNREAD = 141

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the process's exit status."""
    options = _parser().parse_args(arguments)
    # Imported now: asking a gateway takes little of what one is made of, and a gateway nothing of what asks.
    module, _, function = options.command.partition(".")
    try:
        status: int = getattr(import_module(f".{module}", __package__), function)(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has seen enough. Python would try again when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except ConfigError as exc:
        for problem in exc.problems:
            print(f"lmgateway: {problem}", file=sys.stderr)
        return EX_CONFIG
    except CannotListen as exc:
        print(f"lmgateway: {exc}", file=sys.stderr)
        return EX_OSERR
    except CannotWrite as exc:
        print(f"lmgateway: {exc}", file=sys.stderr)
        return EX_CANTCREAT
    except RequestFailed as exc:
        print(f"lmgateway: {exc}", file=sys.stderr)
        return exc.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lmgateway", description="A gateway in front of LM Studio.")
    parser.add_argument("--version", action="version", version=f"lmgateway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    setting = argparse.ArgumentParser(add_help=False)
    setting.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="any setting, by its path in the file",
    )
    configured = argparse.ArgumentParser(add_help=False, parents=[setting])
    configured.add_argument("--config", type=Path, metavar="FILE", help="the TOML file to read")
    listening = argparse.ArgumentParser(add_help=False)
    listening.add_argument("--host", help="the address to listen on (server.host)")
    listening.add_argument("--port", help="the port to listen on, 0 for any (server.port)")
    listening.add_argument("--log-level", help="error, warn, info or debug (logging.level)")
    _add_setting_up(commands, setting, configured, listening)
    _add_running(commands, configured, listening)
    _add_models(commands, configured)
    return parser


def _add_setting_up(
    commands: Commands,
    setting: argparse.ArgumentParser,
    configured: argparse.ArgumentParser,
    listening: argparse.ArgumentParser,
) -> None:
    start = commands.add_parser(
        "init",
        parents=[setting, listening],
        help="write a configuration for this machine, and say how clients get in",
    )
    start.add_argument(
        "--output", type=Path, metavar="FILE", help="where to; ./config.toml or $LMGATEWAY_CONFIG by default"
    )
    start.add_argument("--force", action="store_true", help="replace the file, and keep a copy of it")
    start.set_defaults(command="init.init")
    examine = commands.add_parser(
        "doctor", parents=[configured, listening], help="say what is wrong, and what to do about it"
    )
    examine.add_argument("--json", action="store_true", help="print the findings for a script")
    examine.set_defaults(command="doctor.doctor")


def _add_running(
    commands: Commands, configured: argparse.ArgumentParser, listening: argparse.ArgumentParser
) -> None:
    serve = commands.add_parser("serve", parents=[configured, listening], help="run the gateway")
    serve.set_defaults(command="running.serve")
    check = commands.add_parser(
        "check", parents=[configured, listening], help="say what is configured, and where"
    )
    check.set_defaults(command="check.check")
    simulate = commands.add_parser("simulate", help="run a pretend LM Studio")
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=_port, default=1234)
    simulate.add_argument(
        "--log-dir", type=Path, help="write a server log like LM Studio's below this folder"
    )
    simulate.set_defaults(command="running.simulate")
    demo = commands.add_parser("demo", help="run the gateway in front of a pretend LM Studio")
    demo.add_argument("--port", type=_port, default=Config().server.port)
    demo.set_defaults(command="running.demo")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is from 0 to 65535")
    return port


def _add_models(commands: Commands, configured: argparse.ArgumentParser) -> None:
    remote = argparse.ArgumentParser(add_help=False, parents=[configured])
    remote.add_argument(
        "--url", help="where the gateway runs; the configured port of this machine by default"
    )
    remote.add_argument("--key", help="its key; the configured one by default")
    remote.add_argument("--json", action="store_true", help="print the gateway's own answer")
    named = argparse.ArgumentParser(add_help=False, parents=[remote])
    named.add_argument("model", help="the model's key, as `lmgateway models` shows it")
    named.add_argument("--id", metavar="NAME", help="the instance's own name")

    watch = commands.add_parser("events", parents=[remote], help="show what happens, as it happens")
    watch.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="NAME,...",
        help="only events of these names, such as error,model_load_progress",
    )
    watch.set_defaults(command="events.events")
    listing = commands.add_parser("models", parents=[remote], help="list the models of a running gateway")
    listing.set_defaults(command="models.listing")
    load = commands.add_parser("load", parents=[named], help="load a model, and make it the active one")
    load.add_argument("--ttl", type=int, metavar="SECONDS", help="unload it after so long without a request")
    load.add_argument("--no-activate", action="store_true", help="leave the active model as it is")
    load.add_argument(
        "--with",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a load setting, such as contextLength=8192, flashAttention=true or gpu.ratio=0.5",
    )
    load.set_defaults(command="models.load")
    cancel = commands.add_parser("cancel", parents=[named], help="end the load of a model")
    cancel.set_defaults(command="models.cancel")
    unload = commands.add_parser("unload", parents=[named], help="take a model out of memory")
    unload.set_defaults(command="models.unload")
    activate = commands.add_parser(
        "activate", parents=[named], help="make a model the active one; loads nothing"
    )
    activate.set_defaults(command="models.activate")
    deactivate = commands.add_parser(
        "deactivate", parents=[remote], help="have no active model; unloads nothing"
    )
    deactivate.add_argument("--type", choices=("llm", "embedding"), help="only of this type; both by default")
    deactivate.set_defaults(command="models.deactivate")
