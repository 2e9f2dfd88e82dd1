"""The lines of llama-server, LM Studio's engine for GGUF models since 0.4, as events.

They are continuation lines of a record, or records of level DEBUG, with or without llama-server's own clock:

    68.12.346.139 I slot print_timing: id  0 | task 312 | prompt processing, n_tokens = 82, progress = 1.00
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...observe.events import Event
from ...untrusted import count, number
from .events import (
    MAX_PERCENT,
    ProcessingStart,
    PromptProgress,
    TokenInfo,
    cache_stats,
    number_pairs,
    token_counts,
)

TASKS = 64
"""At most so many tasks are remembered; LM Studio runs four at once unless it is told otherwise."""

_CLOCK = re.compile(r"[0-9]{1,9}\.[0-9]{2}\.[0-9]{3}\.[0-9]{3} [A-Z] ", re.ASCII)
_SLOT = re.compile(
    r"slot {1,12}(launch_slot_|update_slots|print_timing|release): "
    r"id {1,6}([0-9]{1,9}) \| task (-?[0-9]{1,18}) \|(.*)",
    re.ASCII,
)
_PROMPT_TIME = re.compile(r"prompt eval time = {1,16}[0-9.]{1,20} ms / {1,12}([0-9]{1,18}) tokens", re.ASCII)
_NEW_PROMPT = "new prompt, "
_FIELDS = {"n_ctx_slot": "n_ctx", "n_keep": "n_keep", "task.n_tokens": "total_prompt_tokens"}

# A slot's number and a task's.
_Task = tuple[str, str]


class LlamaServer:
    """The tasks that the lines have described so far. Two engines' tasks may have the same numbers."""

    def __init__(self) -> None:
        self._prompts: dict[_Task, dict[str, Any]] = {}
        # The task whose timings the next lines contain.
        self._timed: _Task | None = None

    def parse(self, content: str) -> Iterator[Event]:
        """Yield the events of one line, which is stripped and has no stamp."""
        clock = _CLOCK.match(content)
        line = content[clock.end() :].lstrip() if clock else content
        if slot := _SLOT.match(line):
            yield from self._of_slot(slot[1], (slot[2], slot[3]), slot[4].strip(), line)
        elif line:
            yield from self._timing(line, line)

    def _of_slot(self, function: str, task: _Task, text: str, line: str) -> Iterator[Event]:
        self._timed = None
        if function == "launch_slot_" and text.startswith("processing task"):
            yield ProcessingStart(message=line)
        elif function == "update_slots" and text.startswith(_NEW_PROMPT):
            pairs = number_pairs(text.removeprefix(_NEW_PROMPT))
            counts = token_counts(pairs, _FIELDS)
            prompt: dict[str, Any] = {_FIELDS[name]: value for name, value in counts.items()}
            if prompt:
                self._remember(task, prompt)
                yield TokenInfo(**prompt)
        elif function == "print_timing":
            if text.startswith("prompt processing, "):
                yield from _progress(text, line)
            else:
                self._timed = task
                yield from self._timing(text, line)
        elif function == "release":
            self._prompts.pop(task, None)

    def _timing(self, text: str, line: str) -> Iterator[Event]:
        """Yield the events of a task's first timing: the prompt's tokens that didn't come from the cache."""
        if self._timed is None or not text:
            return
        task, self._timed = self._timed, None
        match = _PROMPT_TIME.match(text)
        decoded = match and count(int(match[1]))
        if decoded is None:
            return
        prompt = self._prompts.pop(task, {})
        total = prompt.get("total_prompt_tokens")
        if total is not None and total >= decoded:
            yield cache_stats(total - decoded, total, line)
        yield TokenInfo(**prompt, prompt_tokens_to_decode=decoded)

    def _remember(self, task: _Task, prompt: dict[str, Any]) -> None:
        self._prompts.pop(task, None)
        self._prompts[task] = prompt
        if len(self._prompts) > TASKS:
            # A task that never ended, because its engine crashed.
            del self._prompts[next(iter(self._prompts))]


def _progress(text: str, line: str) -> Iterator[PromptProgress]:
    for name, share in number_pairs(text):
        if name == "progress" and (percent := number(100 * share, MAX_PERCENT)) is not None:
            yield PromptProgress(progress=min(percent, 100.0), message=line)
