"""The command line's arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import __version__
from ..config import Config
from .keys_parser import add_keys
from .models_parser import add_models
from .service_parser import add_service
from .subcommands import Commands, add_command

# Of `lmgateway queue`.
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.2, 3600.0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lmgateway", description="A gateway in front of LM Studio.")
    parser.add_argument("--version", action="version", version=f"lmgateway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    setting = argparse.ArgumentParser(add_help=False)
    setting.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="set any setting by its path in the file, such as server.port=9000",
    )
    configured = argparse.ArgumentParser(add_help=False, parents=[setting])
    configured.add_argument("--config", type=Path, metavar="FILE", help="the TOML file to read")
    listening = argparse.ArgumentParser(add_help=False)
    listening.add_argument("--host", help="the address to listen on (server.host)")
    listening.add_argument("--port", help="the port to listen on, 0 for any free one (server.port)")
    listening.add_argument("--log-level", help="error, warn, info or debug (logging.level)")
    _add_setup(commands, setting, configured, listening)
    _add_running(commands, configured, listening)
    remote = _remote(configured)
    _add_monitoring(commands, remote)
    _add_usage(commands, remote)
    add_models(commands, remote)
    add_keys(commands, remote)
    add_service(commands)
    return parser


def _add_setup(
    commands: Commands,
    setting: argparse.ArgumentParser,
    configured: argparse.ArgumentParser,
    listening: argparse.ArgumentParser,
) -> None:
    start = add_command(
        commands,
        "init",
        parents=[setting, listening],
        summary="write a configuration for this machine, and show how clients connect",
    )
    start.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write; by default $LMGATEWAY_CONFIG or ./config.toml",
    )
    start.add_argument("--force", action="store_true", help="replace an existing file, and save a copy of it")
    start.set_defaults(command="init.init")
    diagnose = add_command(
        commands,
        "doctor",
        parents=[configured, listening],
        summary="check the installation, and say how to fix each problem",
    )
    diagnose.add_argument("--json", action="store_true", help="print the findings as JSON")
    diagnose.set_defaults(command="doctor.doctor")


def _add_running(
    commands: Commands, configured: argparse.ArgumentParser, listening: argparse.ArgumentParser
) -> None:
    serve = add_command(commands, "serve", parents=[configured, listening], summary="run the gateway")
    serve.set_defaults(command="running.serve")
    check = add_command(
        commands,
        "check",
        parents=[configured, listening],
        summary="show every setting in force, and where its value comes from",
    )
    check.set_defaults(command="check.check")
    simulate = add_command(commands, "simulate", summary="run a simulated LM Studio")
    simulate.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    simulate.add_argument(
        "--port", type=_port, default=1234, help="the port, 0 for any free one (%(default)s)"
    )
    simulate.add_argument("--log-dir", type=Path, help="write a server log like LM Studio's in this folder")
    simulate.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help='how this LM Studio behaves, such as jit=false; may be repeated; "help" lists them',
    )
    simulate.set_defaults(command="demo.simulate")
    demo = add_command(commands, "demo", summary="run the gateway in front of a simulated LM Studio")
    demo.add_argument(
        "--port",
        type=_port,
        default=Config().server.port,
        help="the gateway's port, 0 for any free one (%(default)s)",
    )
    demo.set_defaults(command="demo.demo")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        raise argparse.ArgumentTypeError(
            f"write seconds from {MIN_INTERVAL_SECONDS:g} to {MAX_INTERVAL_SECONDS:g}"
        )
    return seconds


def _remote(configured: argparse.ArgumentParser) -> argparse.ArgumentParser:
    remote = argparse.ArgumentParser(add_help=False, parents=[configured])
    remote.add_argument("--url", help="the gateway's URL; by default the configured port on this machine")
    remote.add_argument("--key", help="the gateway's key; by default the configured one")
    remote.add_argument("--json", action="store_true", help="print the gateway's response as JSON")
    return remote


def _add_monitoring(commands: Commands, remote: argparse.ArgumentParser) -> None:
    watch = add_command(commands, "events", parents=[remote], summary="follow the gateway's events")
    watch.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="NAME,...",
        help="only events of these names, such as error,model_load_progress",
    )
    watch.set_defaults(command="events.events")
    queue = add_command(
        commands, "queue", parents=[remote], summary="show who runs, who waits and why, and each key's part"
    )
    queue.add_argument("--once", action="store_true", help="on a terminal too, don't refresh the table")
    queue.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="SECONDS",
        help="how often a terminal's table is refreshed (%(default)g)",
    )
    queue.set_defaults(command="queue.queue")
    listing = add_command(
        commands, "models", parents=[remote], summary="list the models of a running gateway"
    )
    listing.set_defaults(command="models.listing")


def _add_usage(commands: Commands, remote: argparse.ArgumentParser) -> None:
    usage = add_command(
        commands, "usage", parents=[remote], summary="show who used what: requests, tokens and times"
    )
    when = "a date, ISO 8601, or how long ago, such as 30d or 12h"
    usage.add_argument("--since", metavar="TIME", help=f"{when}; by default six days before today")
    usage.add_argument("--until", metavar="TIME", help=f"{when}; by default now")
    usage.add_argument(
        "--by",
        metavar="NAME,...",
        help="a row for each of these: day, hour, key, model, box; by default day,key",
    )
    usage.add_argument("--csv", action="store_true", help="print CSV, for a spreadsheet")
    usage.set_defaults(command="usage.usage")
