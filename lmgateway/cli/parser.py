"""The command line's arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import __version__
from ..config import Config
from . import help_text
from .boxes_parser import add_boxes
from .chat_parser import add_chat
from .keys_parser import add_keys
from .models_parser import add_models
from .monitoring_parser import add_monitoring
from .service_parser import add_service
from .subcommands import Commands, Parser, add_command

_ENDING = "`lmgateway COMMAND --help` describes a command's options."


def make_parser() -> Parser:
    parser = Parser(prog="lmgateway", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_ENDING)
    parser.add_argument("--version", action="version", version=f"lmgateway {__version__}")
    # Not argparse's own list of the commands, which has no groups.
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog=parser.prog
    )
    parser.usage = f"{parser.prog} COMMAND [OPTION ...]"
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
    reached, remote = _remote(configured)
    add_chat(commands, reached)
    add_monitoring(commands, remote)
    add_models(commands, remote)
    add_boxes(commands, remote)
    add_keys(commands, remote)
    add_service(commands)
    parser.description = f"A gateway in front of LM Studio.\n\n{help_text.overview(parser)}"
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
    start.add_argument(
        "--force", action="store_true", help="replace an existing file except its key, and save a copy of it"
    )
    start.add_argument(
        "--new-key",
        action="store_true",
        help="with --force, also replace the key, which all clients need then",
    )
    start.add_argument(
        "--qr", action="store_true", help="show a QR code that signs a phone in to the dashboard with the key"
    )
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


def _remote(configured: argparse.ArgumentParser) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the options of commands that connect to a gateway, without and with --json."""
    reached = argparse.ArgumentParser(add_help=False, parents=[configured])
    reached.add_argument("--url", help="the gateway's URL; by default the configured port on this machine")
    reached.add_argument("--key", help="the gateway's key; by default the configured one")
    reached.add_argument(
        "--ca",
        type=Path,
        metavar="FILE",
        help="trust the certificates in this PEM file, such as a copy of the gateway's own self-signed one",
    )
    remote = argparse.ArgumentParser(add_help=False, parents=[reached])
    remote.add_argument("--json", action="store_true", help="print the gateway's response as JSON")
    return reached, remote
