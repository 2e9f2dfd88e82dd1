"""The arguments of `lmgateway keys`."""

from __future__ import annotations

import argparse

from .subcommands import Commands, add_command

# Not in the namespace unless given, because an option that is left out leaves its setting unchanged. The
# destinations are the settings' names in the API.
_ABSENT = argparse.SUPPRESS


def add_keys(commands: Commands, remote: argparse.ArgumentParser) -> None:
    keys = add_command(commands, "keys", summary="manage the keys of people and apps")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    named = argparse.ArgumentParser(add_help=False, parents=[remote])
    named.add_argument("name", help="the key's name, such as alice")
    shown = argparse.ArgumentParser(add_help=False)
    shown.add_argument(
        "--qr", action="store_true", help="also show it as a QR code that signs a phone in to the dashboard"
    )
    settings = _settings()
    listing = add_command(actions, "list", parents=[remote], summary="list the keys")
    listing.set_defaults(command="keys.listing")
    add = add_command(
        actions,
        "add",
        parents=[named, shown, settings],
        summary="make a key, and print it, which only happens once",
    )
    add.set_defaults(command="keys.add")
    change = add_command(
        actions,
        "set",
        parents=[named, settings],
        summary='change a key\'s settings; an empty value, such as --note "", takes one away',
    )
    change.set_defaults(command="keys.change")
    show = add_command(actions, "show", parents=[remote], summary="show a key's settings")
    show.add_argument("name", nargs="?", help="the key's name; by default the key that is sent, with its use")
    show.set_defaults(command="keys.show")
    rotate = add_command(
        actions,
        "rotate",
        parents=[named, shown],
        summary="replace a key, and print the new one, only this once",
    )
    rotate.add_argument(
        "--grace", metavar="SECONDS", help="how long the previous key stays valid; by default it ends at once"
    )
    rotate.set_defaults(command="keys.rotate")
    revoke = add_command(actions, "revoke", parents=[named], summary="revoke a key, and end its requests")
    revoke.set_defaults(command="keys.revoke")


def _settings() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, argument_default=_ABSENT)
    _add_rights(parser)
    parser.add_argument(
        "--limit",
        dest="limits",
        action="append",
        metavar="NAME=N",
        help="running, requestsPerMinute, tokensPerMinute or tokensPerDay; may be repeated",
    )
    parser.add_argument(
        "--share",
        metavar="FACTOR",
        help="its weight when the GPU's time is divided among keys, from 0.1 to 100",
    )
    parser.add_argument(
        "--class",
        metavar="CLASS",
        help="interactive, or background: behind interactive requests for two minutes",
    )
    parser.add_argument(
        "--default-model", dest="model", metavar="MODEL", help="the model of requests that name none"
    )
    parser.add_argument(
        "--default",
        dest="defaultInference",
        action="append",
        metavar="NAME=VALUE",
        help="a default for requests that omit the field, such as temperature=0.7; may be repeated",
    )
    parser.add_argument(
        "--user-header",
        dest="userHeader",
        metavar="HEADER",
        help="the header field in which an app names its user; the users take turns",
    )
    parser.add_argument(
        "--expires", dest="expiresAt", metavar="DATE", help="2027-01-31, ISO 8601, 12h, 30d, 8w, or never"
    )
    parser.add_argument("--note", metavar="TEXT", help="a text to recognize the key by")
    return parser


def _add_rights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        metavar="SCOPE,...",
        help="what it opens: inference (the default), tools, models, observe, log, admin; may be repeated",
    )
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        metavar="GLOB",
        help="the models it may use, such as 'qwen*'; may be repeated; by default all",
    )
    parser.add_argument(
        "--address",
        dest="addresses",
        action="append",
        metavar="ADDRESS",
        help="an address or network whose clients need no key, for apps that can't send one; may be repeated",
    )
