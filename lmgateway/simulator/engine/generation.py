"""A running generation: an asynchronous iterator of pieces, with statistics."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from . import log_records
from .composition import Composition, StopReason, compose
from .instance import Instance
from .pace import Pace
from .prompt import Prompt
from .run import Run
from .server_log import ServerLog

BATCH_TOKENS = 512
MOST_BATCHES = 20

OnProgress = Callable[[float], Awaitable[None]]
"""Called with a fraction, 0 to 1."""


class Workshop(Protocol):
    """The environment of a generation. The pace is looked up for each wait, because tests replace it."""

    pace: Pace
    log: ServerLog


class Generation:
    """Each iteration generates one piece (a token); the model stops when the iteration does.

    The prefill happens before the first piece, or earlier in `read_prompt()` if an API reports its progress.
    Raises InstanceUnloaded, ModelCrashed or CacheFull if the instance ends it.
    """

    def __init__(self, workshop: Workshop, instance: Instance, prompt: Prompt, run: Run) -> None:
        self.instance = instance
        self.prompt_tokens = prompt.tokens()
        self.completion_tokens = 0
        self.composition: Composition = compose(instance.identifier, prompt)
        self.stop_reason: StopReason = "userStopped"
        self._prompt = prompt
        self._workshop = workshop
        self._run = run
        self._prompt_read = False
        self._began = self._first_token = self._ended = asyncio.get_running_loop().time()

    async def read_prompt(self, on_progress: OnProgress | None = None) -> None:
        """Wait for a slot, and process the prompt; cancelling the caller doesn't end the processing."""
        self._log_beginning()
        await self._run.get_slot()
        progress: asyncio.Queue[float | None] = asyncio.Queue()
        prefill = self._run.process_prompt(partial(self._process_prompt, progress.put_nowait))
        prefill.add_done_callback(lambda _: progress.put_nowait(None))
        while (fraction := await progress.get()) is not None:
            if on_progress is not None:
                await on_progress(fraction)
        await prefill
        self._prompt_read = True
        # The tokens' schedule is this task's, and the prompt was another's.
        self._workshop.pace.restart()

    async def _process_prompt(self, report: Callable[[float], None]) -> None:
        log, total = self._workshop.log, self.prompt_tokens
        batch = max(BATCH_TOKENS, -(-total // MOST_BATCHES))
        for done in range(0, max(1, total), batch):
            processed = min(batch, total - done)
            await self._run.read_prompt(self._workshop.pace, processed)
            fraction = (done + processed) / max(1, total)
            log.write("INFO", log_records.prompt_progress(fraction), source=self.instance.identifier)
            report(fraction)

    def __aiter__(self) -> "Generation":
        return self

    async def __anext__(self) -> str:
        if not self._prompt_read:
            await self.read_prompt()
        if self.completion_tokens == len(self.composition.pieces):
            self.stop_reason = self.composition.stop_reason
            raise StopAsyncIteration
        if self.completion_tokens > 0:
            await self._run.await_token(self._workshop.pace)
        self._run.produce_token()
        piece = self.composition.pieces[self.completion_tokens]
        self.completion_tokens += 1
        self._ended = asyncio.get_running_loop().time()
        if self.completion_tokens == 1:
            self._first_token = self._ended
        return piece

    async def run(self) -> None:
        """Generate to the end, for a response that isn't streamed."""
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
        """The speed of the tokens after the first, which waited for the prefill; 0 if no time passed."""
        seconds = self.seconds_generating
        return max(0, self.completion_tokens - 1) / seconds if seconds > 0 else 0.0
