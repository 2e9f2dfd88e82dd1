"""The durations of the simulated work."""

import asyncio
import math
from collections.abc import Mapping
from typing import Self
from weakref import WeakKeyDictionary

LOAD_STEPS = 20
"""Progress packets of one load; each waits for its share of the load's seconds."""

LONGEST_LAG_SECONDS = 0.25
"""How far a generation catches up with its schedule; a reader that stalled for longer is forgiven."""


class Pace:
    """Awaited at each simulated delay. Tests subclass it to hold a generation at a chosen point.

    One Pace serves every generation at once: a token's due time is remembered for the task that asks.
    `speed` is the fraction of a lone request's speed.
    """

    def __init__(
        self,
        *,
        prompt_tokens_per_second: float = 2000,
        tokens_per_second: float = 40,
        load_seconds: float = 3,
        model_load_seconds: Mapping[str, float] | None = None,
        batch_exponent: float = 0.5,
        beside_prompt: float = 0.25,
    ) -> None:
        """`model_load_seconds` are those of single models, by key.

        The speed of k generations together is that of one times `k ** batch_exponent`: 0 is no gain.

        Beside a prompt that slows them, it is `beside_prompt` times that. Both defaults are assumed, because
        machines differ. Prompts are bound by computing, so they gain nothing from each other.
        """
        self._prompt_tokens_per_second = prompt_tokens_per_second
        self._token_seconds = 1 / tokens_per_second
        self._load_seconds = load_seconds
        self._model_load_seconds = model_load_seconds or {}
        self._batch_exponent = batch_exponent
        self._beside_prompt = beside_prompt
        self._due: WeakKeyDictionary[asyncio.Task[object], float] = WeakKeyDictionary()

    @classmethod
    def instant(cls) -> Self:
        """No delays. Each wait still yields, so that the event loop can notice a disconnected client."""
        return cls(prompt_tokens_per_second=math.inf, tokens_per_second=math.inf, load_seconds=0)

    def prompt_speed(self, prompts: int) -> float:
        """Return the speed of each of so many prompts that are processed at once."""
        return 1 / max(1, prompts)

    def token_speed(self, generating: int, prompts: int) -> float:
        """Return the speed of each of so many generations, beside so many prompts that slow them."""
        shared = math.pow(max(1, generating), self._batch_exponent - 1)
        return shared * self._beside_prompt if prompts else shared

    async def prompt(self, tokens: int, speed: float = 1.0) -> None:
        """Wait for the prefill of one batch of the prompt."""
        await asyncio.sleep(tokens / (self._prompt_tokens_per_second * speed))
        self.restart()

    def restart(self) -> None:
        """Begin a schedule of tokens for the current task: the next one is due a token's time from now."""
        self._due[_current_task()] = asyncio.get_running_loop().time()

    async def token(self, speed: float = 1.0) -> None:
        """Wait before each token except the first.

        A due time is computed from the previous one and not from the end of the last sleep: timers fire a
        little late, which at hundreds of tokens a second would add up to a much slower model.
        """
        now = asyncio.get_running_loop().time()
        task = _current_task()
        due = max(self._due.get(task, now) + self._token_seconds / speed, now - LONGEST_LAG_SECONDS)
        self._due[task] = due
        await asyncio.sleep(max(0.0, due - now))

    def load_seconds(self, model_key: str) -> float:
        """Return how long a load of the model takes."""
        return self._model_load_seconds.get(model_key, self._load_seconds)

    async def load(self, fraction: float, model_key: str) -> None:
        """Wait before the progress packet of a load that reports `fraction` (0 to 1)."""
        await asyncio.sleep(self.load_seconds(model_key) / LOAD_STEPS)

    async def unload(self, seconds: float) -> None:
        """Wait until an instance that is being unloaded is on no list any more."""
        await asyncio.sleep(seconds)

    async def free(self, seconds: float) -> None:
        """Wait until the memory of an instance that was unloaded is free."""
        await asyncio.sleep(seconds)


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a pace can only be awaited inside a task")
    return task
