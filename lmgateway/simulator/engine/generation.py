"""A running generation: an asynchronous iterator of pieces, with statistics."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from .composition import Composition, StopReason, compose
from .instance import Instance, Use
from .ledger import Entry
from .pace import Pace
from .prompt import Prompt

BATCH_TOKENS = 512
MOST_BATCHES = 20

OnProgress = Callable[[float], Awaitable[None]]
"""Called with a fraction, 0 to 1."""


class Workshop(Protocol):
    """The environment of a generation. The pace is looked up for each wait, because tests replace it."""

    pace: Pace


class Observer(Protocol):
    """Called at the steps of a generation."""

    def began(self, generation: "Generation") -> None: ...

    def progressed(self, generation: "Generation", fraction: float) -> None: ...

    def produced_first_token(self, generation: "Generation") -> None: ...


class Generation:
    """Each iteration generates one piece (a token); the model stops when the iteration does.

    The prefill happens before the first piece, or earlier in `read_prompt()` if an API reports its progress.
    Raises InstanceUnloaded if the model is unloaded meanwhile.
    """

    def __init__(
        self,
        workshop: Workshop,
        instance: Instance,
        prompt: Prompt,
        entry: Entry,
        use: Use,
        observer: Observer,
    ) -> None:
        self.instance = instance
        self.prompt = prompt
        self.prompt_tokens = prompt.tokens()
        self.completion_tokens = 0
        self.composition: Composition = compose(instance.identifier, prompt)
        self.stop_reason: StopReason = "userStopped"
        self._workshop = workshop
        self._entry = entry
        self._use = use
        self._observer = observer
        self._prompt_read = False
        self._began = self._first_token = self._ended = asyncio.get_running_loop().time()

    async def read_prompt(self, on_progress: OnProgress | None = None) -> None:
        """Process the prompt, batch by batch."""
        total = self.prompt_tokens
        self._observer.began(self)
        batch = max(BATCH_TOKENS, -(-total // MOST_BATCHES))
        for done in range(0, max(1, total), batch):
            processed = min(batch, total - done)
            await self._workshop.pace.prompt(processed)
            self.instance.check_loaded()
            self._entry.read_prompt(processed)
            fraction = (done + processed) / max(1, total)
            self._observer.progressed(self, fraction)
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
            self._observer.produced_first_token(self)
        return piece

    async def run(self) -> None:
        """Generate to the end, for a response that isn't streamed."""
        async for _ in self:
            pass

    @property
    def text_so_far(self) -> str:
        return "".join(self.composition.pieces[: self.completion_tokens])

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
