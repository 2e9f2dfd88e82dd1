"""The arguments of `lmgateway boxes`."""

from __future__ import annotations

import argparse

from .subcommands import Commands, add_command

_CHANGES = {
    "drain": "send a box only the requests that can go nowhere else, for example to update it",
    "resume": "send a drained box requests again",
    "wake": "wake a box's machine with a magic packet",
}


def add_boxes(commands: Commands, remote: argparse.ArgumentParser) -> None:
    boxes = add_command(
        commands, "boxes", summary="show the LM Studios behind the gateway; drain, resume or wake one"
    )
    boxes.usual_command = "list"
    actions = boxes.add_subparsers(required=True, metavar="ACTION")
    listing = add_command(
        actions, "list", parents=[remote], summary="list them; this is the action if none is given"
    )
    listing.set_defaults(command="boxes.listing")
    for name, summary in _CHANGES.items():
        change = add_command(actions, name, parents=[remote], summary=summary)
        change.add_argument("name", help="the box's name, as `lmgateway boxes` shows it")
        change.set_defaults(command="boxes.change", change=name)
