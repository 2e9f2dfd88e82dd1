"""One generation while it runs: an asynchronous iterator of pieces, and its figures."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from . import log_records
from .composition import Composition, StopReason, compose
from .instance import Instance, Use
from .ledger import Entry
from .pace import Pace
from .prompt import Prompt
from .server_log import ServerLog

BATCH_TOKENS = 512
MOST_BATCHES = 20

OnProgress = Callable[[float], Awaitable[None]]
"""Told a fraction, 0..1."""


class Workshop(Protocol):
    """What a generation needs around it. The pace is looked up for each wait: it may be replaced."""

    pace: Pace
    log: ServerLog


class Generation:
    """Iterate to produce one piece (one token) at a time; stopping to iterate stops the model.

    The prompt is processed before the first piece, or earlier by `read_prompt()` for an API that shows it.
    Raises InstanceUnloaded where the model has left memory in between.
    """

    def __init__(
        self, workshop: Workshop, instance: Instance, prompt: Prompt, entry: Entry, use: Use
    ) -> None:
        self.instance = instance
        self.prompt_tokens = prompt.tokens()
        self.completion_tokens = 0
        self.composition: Composition = compose(instance.identifier, prompt)
        self.stop_reason: StopReason = "userStopped"
        self._prompt = prompt
        self._workshop = workshop
        self._entry = entry
        self._use = use
        self._prompt_read = False
        self._began = self._first_token = self._ended = asyncio.get_running_loop().time()

    async def read_prompt(self, on_progress: OnProgress | None = None) -> None:
        """Process the prompt, batch by batch."""
        log, total = self._workshop.log, self.prompt_tokens
        self._log_beginning()
        batch = max(BATCH_TOKENS, -(-total // MOST_BATCHES))
        for done in range(0, max(1, total), batch):
            processed = min(batch, total - done)
            await self._workshop.pace.prompt(processed)
            self.instance.check_loaded()
            self._entry.read_prompt(processed)
            fraction = (done + processed) / max(1, total)
            log.write("INFO", log_records.prompt_progress(fraction), source=self.instance.identifier)
            if on_progress is not None:
                await on_progress(fraction)
        self._prompt_read = True
        self._use.status = "generating"

    def __aiter__(self) -> "Generation":
        return self

    async def __anext__(self) -> str:
        if not self._prompt_read:
            await self.read_prompt()
        if self.completion_tokens == len(self.composition.pieces):
            self.stop_reason = self.composition.stop_reason
            raise StopAsyncIteration
        if self.completion_tokens > 0:
            await self._workshop.pace.token()
            self.instance.check_loaded()
        piece = self.composition.pieces[self.completion_tokens]
        self._entry.produced_token()
        self.completion_tokens += 1
        self._ended = asyncio.get_running_loop().time()
        if self.completion_tokens == 1:
            self._first_token = self._ended
        return piece

    async def run(self) -> None:
        """To the end, for an answer that is sent in one piece."""
        async for _ in self:
            pass

    def _log_beginning(self) -> None:
        log, prompt = self._workshop.log, self._prompt
        limit = prompt.limits.max_tokens
        log.write("INFO", log_records.running(prompt.messages))
        log.write("DEBUG", log_records.sampling_params(prompt.sampling))
        log.write("DEBUG", log_records.generate(self.instance.context_length, limit, self.prompt_tokens))
        log.write("DEBUG", log_records.cache_reuse(self.prompt_tokens))
        log.write("DEBUG", log_records.BEGIN_PROCESSING_PROMPT)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def seconds_to_first_token(self) -> float:
        return self._first_token - self._began

    @property
    def seconds_generating(self) -> float:
        return self._ended - self._first_token

    @property
    def tokens_per_second(self) -> float:
        """Of the tokens after the first, which waited for the prompt only; 0 where time stood still."""
        seconds = self.seconds_generating
        return max(0, self.completion_tokens - 1) / seconds if seconds > 0 else 0.0
