"""The gateway's sentences in the words of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .failures import RequestFailed

_COMMANDS = {
    "GET /admin/models (`lmgateway models`)": "`lmgateway models`",
    "GET /v1/models": "`lmgateway models`",
}


def with_commands(sentence: str) -> str:
    """Name the command in place of the operation that does the same."""
    for operation, command in _COMMANDS.items():
        sentence = sentence.replace(operation, command)
    return sentence


def in_options(exc: RequestFailed, options: Mapping[str, tuple[str, Iterable[str]]]) -> RequestFailed:
    """Return the failure with its mistakes named by the options that made them.

    `options` has for each member of the body the option, and the NAME=VALUE that were given.
    """
    if not exc.mistakes:
        return exc
    sentences = [_in_option(path, message, options) for path, message in exc.mistakes]
    return RequestFailed("; ".join(sentences), exc.exit_status, http_status=exc.http_status)


def _in_option(path: str, message: str, options: Mapping[str, tuple[str, Iterable[str]]]) -> str:
    member, _, name = path.partition(".")
    option, items = options.get(member, ("", ()))
    given = [item for item in items if item.startswith(f"{name}=")]
    if not given:
        return f"{path}: {message}"
    # "Expected `int`, got `str`; write a whole number" tells a program the types, and a person what to write.
    _, separator, remedy = message.partition("; write ")
    return f"{option} {given[-1]}: {f'write {remedy}' if separator else message}"
