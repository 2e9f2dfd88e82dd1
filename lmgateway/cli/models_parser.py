"""The commands for models, and their options."""

from __future__ import annotations

import argparse
from typing import get_args

from ..schema.common import ModelType
from .subcommands import Commands, add_command

KINDS = get_args(ModelType)


def add_models(commands: Commands, remote: argparse.ArgumentParser) -> None:
    named = argparse.ArgumentParser(add_help=False, parents=[remote])
    named.add_argument("model", help="the model's key, as `lmgateway models` shows it")
    named.add_argument("--id", metavar="NAME", help="the instance's identifier")
    placed = argparse.ArgumentParser(add_help=False, parents=[named])
    placed.add_argument("--box", metavar="NAME", help="the LM Studio, as `lmgateway boxes` shows it")
    defaults = argparse.ArgumentParser(add_help=False)
    defaults.add_argument(
        "--default",
        dest="defaults",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a default for requests that omit the field, such as temperature=0.7 or maxTokens=500",
    )
    _add_load(commands, placed, defaults)
    cancel = add_command(commands, "cancel", parents=[placed], summary="cancel a model's load")
    cancel.set_defaults(command="models.cancel")
    _add_unload(commands, placed)
    _add_activate(commands, remote, named, defaults)


def _add_load(commands: Commands, named: argparse.ArgumentParser, defaults: argparse.ArgumentParser) -> None:
    load = add_command(
        commands, "load", parents=[named, defaults], summary="load a model, and make it the active one"
    )
    load.add_argument(
        "--ttl", type=int, metavar="SECONDS", help="unload the model after this time without a request"
    )
    load.add_argument(
        "--another", action="store_true", help="load one more instance, if the model has one already"
    )
    load.add_argument("--no-activate", action="store_true", help="don't change the active model")
    load.add_argument(
        "--with",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a load setting, such as contextLength=8192, parallel=2 or gpu.ratio=0.5",
    )
    load.set_defaults(command="models.load")


def _add_unload(commands: Commands, named: argparse.ArgumentParser) -> None:
    unload = add_command(commands, "unload", parents=[named], summary="unload a model from memory")
    how = unload.add_mutually_exclusive_group()
    how.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="how long to wait for the requests that run on it to end; by default 30",
    )
    how.add_argument("--force", action="store_true", help="end the requests that run on it")
    unload.add_argument(
        "--yes",
        action="store_true",
        help="end them without asking, with --force at once, otherwise when the wait is over",
    )
    unload.set_defaults(command="unloading.unload")


def _add_activate(
    commands: Commands,
    remote: argparse.ArgumentParser,
    named: argparse.ArgumentParser,
    defaults: argparse.ArgumentParser,
) -> None:
    activate = add_command(
        commands,
        "activate",
        parents=[named, defaults],
        summary="make a model the active one, without loading it",
    )
    activate.add_argument("--type", choices=KINDS, help="the model's type, in case LM Studio isn't running")
    activate.add_argument("--force", action="store_true", help="even if LM Studio has no model of this name")
    activate.set_defaults(command="models.activate")
    deactivate = add_command(
        commands, "deactivate", parents=[remote], summary="clear the active model, without unloading it"
    )
    deactivate.add_argument("--type", choices=KINDS, help="only this type; by default both")
    deactivate.set_defaults(command="models.deactivate")
