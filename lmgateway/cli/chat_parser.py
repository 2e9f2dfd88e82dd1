"""The arguments of `lmgateway chat`."""

from __future__ import annotations

import argparse

from .subcommands import Commands, add_command


def add_chat(commands: Commands, reached: argparse.ArgumentParser) -> None:
    chat = add_command(
        commands, "chat", parents=[reached], summary="ask a model, or talk with it if no prompt is given"
    )
    chat.add_argument(
        "prompt",
        nargs="*",
        help="the prompt; - stands for the standard input, which is also read if it is a pipe and no prompt "
        "is given",
    )
    chat.add_argument("-m", "--model", help="the model to ask; by default the key's own, or the active one")
    chat.add_argument("-s", "--system", metavar="TEXT", help="instructions for the whole conversation")
    chat.add_argument("--max-tokens", type=_tokens, metavar="N", help="end each answer after so many tokens")
    chat.set_defaults(command="chat.chat")


def _tokens(text: str) -> int:
    # More digits aren't a number of tokens, and take long to convert.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0):
        raise argparse.ArgumentTypeError("a number of tokens is at least 1")
    return int(text)
