"""Commands and options that don't exist: which one is near, also to a word of another program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from .failures import EX_USAGE, RequestFailed
from .subcommands import Parser

_DOWNLOADS = "LM Studio downloads models. `lmgateway load NAME` loads one of those that it has."
_DELETES = "LM Studio deletes models. `lmgateway unload NAME` takes one out of memory."
# Words of Ollama, Docker, systemctl, lms and llm.
_OTHER_NAMES = {
    "ask": "chat",
    "config": "check",
    "info": "status",
    "list": "models",
    "log": "events",
    "logs": "events",
    "ls": "models",
    "run": "chat",
    "start": "serve",
    "stop": "unload",
    "top": "ps",
    "up": "serve",
    "whoami": "status",
    "boxes ls": "boxes list",
    "boxes show": "boxes list",
    "boxes undrain": "boxes resume",
    "keys create": "keys add",
    "keys delete": "keys revoke",
    "keys edit": "keys set",
    "keys ls": "keys list",
    "keys new": "keys add",
    "keys remove": "keys revoke",
    "keys rm": "keys revoke",
}
_ELSEWHERE = {
    "download": _DOWNLOADS,
    "get": _DOWNLOADS,
    "pull": _DOWNLOADS,
    "rm": _DELETES,
    "remove": _DELETES,
    "restart": "Press Ctrl-C where `lmgateway serve` runs, and start it again. An installed service: "
    "`sudo systemctl restart lmgateway`, or `systemctl --user restart lmgateway` for one of a user.",
}


def find_command(parser: Parser, arguments: Sequence[str]) -> Parser:
    """Return the parser of the command that these arguments name. Raises RequestFailed if there is none."""
    words = [parser.prog]
    for argument in arguments:
        if not parser.commands:
            break
        if argument.startswith("-"):
            _check_option(parser, argument, words)
            break
        if argument not in parser.commands:
            raise RequestFailed(_unknown_command([*words[1:], argument], parser), EX_USAGE)
        words.append(argument)
        parser = parser.commands[argument]
    return parser


def refuse(parser: Parser, unknown: Iterable[str]) -> RequestFailed:
    """Return the error for arguments that the command doesn't have."""
    first = next(iter(unknown))
    if not first.startswith("-"):
        return RequestFailed(f"unexpected argument '{first}'. {_all_of(parser)}", EX_USAGE)
    # Without the value, which may be a secret.
    name = first.partition("=")[0]
    hint = _did_you_mean(get_close_matches(name, parser.options(), n=1))
    return RequestFailed(f"unknown option '{name}'.{hint} {_all_of(parser)}", EX_USAGE)


def _check_option(parser: Parser, argument: str, words: Sequence[str]) -> None:
    """Raise RequestFailed for an option before a command that belongs behind it."""
    name = argument.partition("=")[0]
    if name not in parser.options():
        if near := get_close_matches(name, parser.options(), n=1):
            message = f"unknown option '{name}'.{_did_you_mean(near)} {_all_of(parser)}"
            raise RequestFailed(message, EX_USAGE)
        message = (
            f"the option '{name}' stands before a command. Write it behind: `{' '.join(words)} … {name}`."
        )
        raise RequestFailed(f"{message} {_all_of(parser)}", EX_USAGE)


def _unknown_command(words: Sequence[str], parser: Parser) -> str:
    named, prefix = " ".join(words), "".join(f"{word} " for word in words[:-1])
    begin = f"unknown command '{named}'."
    if named in _ELSEWHERE:
        return f"{begin} {_ELSEWHERE[named]}"
    near = _OTHER_NAMES.get(named)
    names = [f"{prefix}{name}" for name in get_close_matches(words[-1], parser.commands, n=1)]
    return f"{begin}{_did_you_mean([near] if near else names)} {_all_of(parser)}"


def _did_you_mean(names: Sequence[str]) -> str:
    return f" Did you mean '{names[0]}'?" if names else ""


def _all_of(parser: Parser) -> str:
    return f"`{parser.prog} --help` lists all."
