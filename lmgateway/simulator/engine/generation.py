"""A running generation: asynchronous iterators of pieces, with statistics."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from . import context
from .composition import Composition, StopReason, compose
from .instance import Instance
from .pace import Pace
from .prompt import Prompt
from .run import Run
from .switches import Switches

BATCH_TOKENS = 512
MOST_BATCHES = 20

OnProgress = Callable[[float], Awaitable[None]]
"""Called with a fraction, 0 to 1."""


class Workshop(Protocol):
    """The environment of a generation. The pace is looked up for each wait, because tests replace it."""

    pace: Pace
    switches: Switches


class Observer(Protocol):
    """Called at the steps of a generation."""

    def began(self, generation: "Generation") -> None: ...

    def progressed(self, generation: "Generation", fraction: float) -> None: ...

    def produced_first_token(self, generation: "Generation") -> None: ...


class Pieces(AsyncIterator[str]):
    """Generates one piece (a token) an iteration; the model stops when the iteration does."""

    def __init__(self, pieces: Sequence[str], produce: Callable[[], Awaitable[None]]) -> None:
        self._pieces = iter(pieces)
        self._produce = produce

    async def __anext__(self) -> str:
        for piece in self._pieces:
            await self._produce()
            return piece
        raise StopAsyncIteration


class Generation:
    """To be iterated in this order: `read_prompt()`, `reasoning` (empty for most models), `answer`.

    Raises InstanceUnloaded, ModelCrashed or CacheFull if the instance ends it, ContextOverflow before the
    first piece, ContextFull or ContextFullMlx before a later one.
    """

    def __init__(
        self, workshop: Workshop, instance: Instance, prompt: Prompt, run: Run, observer: Observer
    ) -> None:
        self.instance = instance
        self.prompt = prompt
        self.prompt_tokens = prompt.tokens()
        self.completion_tokens = 0
        self._overflow = workshop.switches.overflow
        is_dropped = self._overflow == "empty" and self.prompt_tokens >= instance.context_length
        self.composition: Composition = (
            context.EMPTY
            if is_dropped
            else compose(instance.identifier, prompt, reasons=instance.model.reasoning)
        )
        self.reasoning = Pieces(self.composition.reasoning, self._produce)
        self.answer = Pieces(self.composition.pieces, self._produce)
        self._workshop = workshop
        self._run = run
        self._observer = observer
        self._prompt_read = False
        self._began = self._first_token = self._ended = asyncio.get_running_loop().time()

    async def read_prompt(self, on_progress: OnProgress | None = None) -> None:
        """Wait for a slot, and process the prompt; cancelling the caller doesn't end the processing."""
        await self._run.get_slot()
        self._observer.began(self)
        if self._overflow != "empty":
            context.check_prompt(self.prompt_tokens, self.instance)
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
        total = self.prompt_tokens
        batch = max(BATCH_TOKENS, -(-total // MOST_BATCHES))
        for done in range(0, max(1, total), batch):
            processed = min(batch, total - done)
            await self._run.read_prompt(self._workshop.pace, processed)
            fraction = (done + processed) / max(1, total)
            self._observer.progressed(self, fraction)
            report(fraction)

    async def _produce(self) -> None:
        """Generate a token of the thoughts or the answer."""
        if self.completion_tokens > 0:
            await self._run.await_token(self._workshop.pace)
        context.check_room(self.total_tokens, self.instance, self._overflow)
        self._run.produce_token()
        self.completion_tokens += 1
        self._ended = asyncio.get_running_loop().time()
        if self.completion_tokens == 1:
            self._first_token = self._ended
            self._observer.produced_first_token(self)

    async def run(self) -> None:
        """Generate to the end, for a response that isn't streamed."""
        await self.read_prompt()
        for part in (self.reasoning, self.answer):
            async for _ in part:
                pass

    @property
    def text_so_far(self) -> str:
        """The text of the answer, without the thoughts before it."""
        return "".join(self.composition.pieces[: self.completion_tokens - self.reasoning_tokens])

    @property
    def stop_reason(self) -> StopReason:
        is_finished = self._prompt_read and self.completion_tokens == self.composition.tokens
        return self.composition.stop_reason if is_finished else "userStopped"

    @property
    def reasoning_tokens(self) -> int:
        return min(self.completion_tokens, len(self.composition.reasoning))

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

    def stats(self) -> dict[str, object]:
        """Return the statistics as the SDK's protocol shows them."""
        return {
            "stopReason": self.stop_reason,
            "tokensPerSecond": self.tokens_per_second,
            "timeToFirstTokenSec": self.seconds_to_first_token,
            "promptTokensCount": self.prompt_tokens,
            "predictedTokensCount": self.completion_tokens,
            "totalTokensCount": self.total_tokens,
        }
