"""The arguments of `lmgateway service`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .subcommands import Commands, add_command


def add_service(commands: Commands) -> None:
    service = add_command(commands, "service", summary="start the gateway with the machine (systemd)")
    actions = service.add_subparsers(required=True, metavar="ACTION")
    whose = argparse.ArgumentParser(add_help=False)
    whose.add_argument("--user", action="store_true", help="the service of this user, which needs no root")
    # For tests, and for the image of another machine.
    whose.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    changing = argparse.ArgumentParser(add_help=False, parents=[whose])
    changing.add_argument("--dry-run", action="store_true", help="only print what would be done")
    install = add_command(
        actions,
        "install",
        parents=[changing],
        summary="install the service with this folder's configuration, key and state, or update it",
    )
    install.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration; by default ./config.toml, unless the service's own is newer",
    )
    install.set_defaults(command="service.install")
    status = add_command(
        actions,
        "status",
        parents=[whose],
        summary="show whether the service runs, and its last log lines if not",
    )
    status.set_defaults(command="service.status")
    uninstall = add_command(
        actions, "uninstall", parents=[changing], summary="stop and remove the service, and keep its settings"
    )
    uninstall.add_argument(
        "--purge", action="store_true", help="also remove the settings, the key, and the state with all keys"
    )
    uninstall.set_defaults(command="service.uninstall")
