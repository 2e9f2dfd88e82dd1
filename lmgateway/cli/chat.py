"""`lmgateway chat`: one answer, or a short conversation on a terminal."""

from __future__ import annotations

import argparse
import sys
from typing import TypeAlias

from ..text import repaired
from .chat_answer import Answer
from .chat_display import Display
from .failures import EX_USAGE, RequestFailed
from .models import Access, access_of, ask_at
from .output import ask_line, prepare_text_output, read_standard_input, say

Message: TypeAlias = dict[str, str]

STANDARD_INPUT = "-"
_ENDINGS = {"/exit", "/bye", "/quit"}
_FORGET = "/clear"
_HELP = {"/help", "/?"}
_WELCOME = "Ctrl-C ends an answer, /clear begins a new conversation, /exit or Ctrl-D ends it."


def chat(options: argparse.Namespace) -> int:
    prepare_text_output()
    is_conversation = not options.prompt and sys.stdin.isatty() and sys.stdout.isatty()
    prompt = "" if is_conversation else _prompt(options.prompt)
    access = access_of(options)
    messages = [{"role": "system", "content": repaired(options.system)}] if options.system else []
    if is_conversation:
        return _converse(options, access, messages)
    answer = Answer(options.model, [*messages, _of_user(prompt)], options.max_tokens)
    return ask_at(access, lambda gateway: answer.show(gateway, Display()))


def _prompt(words: list[str]) -> str:
    """Return the prompt of the arguments and of the standard input. Raises RequestFailed if it is empty."""
    words = words or [STANDARD_INPUT]
    prompt = " ".join(words)
    if STANDARD_INPUT in words:
        if sys.stdin.isatty():
            say("Type the prompt, and end it with Ctrl-D.", error=True)
        place = words.index(STANDARD_INPUT)
        parts = (" ".join(words[:place]), read_standard_input().strip(), " ".join(words[place + 1 :]))
        prompt = "\n\n".join(part for part in parts if part)
    if not prompt.strip():
        raise RequestFailed("The prompt is empty. Give one, as in `lmgateway chat 'Hello!'`.", EX_USAGE)
    return prompt


def _of_user(prompt: str) -> Message:
    return {"role": "user", "content": repaired(prompt)}


def _converse(options: argparse.Namespace, access: Access, system: list[Message]) -> int:
    """Ask for prompts until the input ends. Raises KeyboardInterrupt if Ctrl-C is pressed at a prompt."""
    say(_WELCOME, error=True)
    messages = system
    while (prompt := ask_line(">>> ")) is not None and (word := prompt.strip()) not in _ENDINGS:
        if word in _HELP:
            say(_WELCOME, error=True)
        elif word == _FORGET:
            messages = system
        elif word:
            messages = _next(options, access, [*messages, _of_user(prompt)])
    return 0


def _next(options: argparse.Namespace, access: Access, messages: list[Message]) -> list[Message]:
    """Show an answer, and return the conversation with it, or without the prompt if there is none."""
    answer = Answer(options.model, messages, options.max_tokens)
    try:
        ask_at(access, lambda gateway: answer.show(gateway, Display()))
    except RequestFailed as exc:
        say(f"lmgateway: {exc}", error=True)
    except KeyboardInterrupt:
        say("The answer was ended.", error=True)
    if not answer.text:
        return messages[:-1]
    return [*messages, {"role": "assistant", "content": answer.text}]
