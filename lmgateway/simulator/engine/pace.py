"""The durations of the simulated work."""

import asyncio
from math import inf
from typing import Self
from weakref import WeakKeyDictionary

LOAD_STEPS = 20
"""Progress packets of one load; each waits for its share of the load's seconds."""

LONGEST_LAG_SECONDS = 0.25
"""How far a generation catches up with its schedule; a reader that stalled for longer is forgiven."""


class Pace:
    """Awaited at each simulated delay. Tests subclass it to hold a generation at a chosen point.

    One Pace serves every generation at once: a token's due time is remembered for the task that asks.
    """

    def __init__(
        self,
        *,
        prompt_tokens_per_second: float = 2000,
        tokens_per_second: float = 40,
        load_seconds: float = 3,
    ) -> None:
        self._prompt_tokens_per_second = prompt_tokens_per_second
        self._token_seconds = 1 / tokens_per_second
        self._load_step_seconds = load_seconds / LOAD_STEPS
        self._due: WeakKeyDictionary[asyncio.Task[object], float] = WeakKeyDictionary()

    @classmethod
    def instant(cls) -> Self:
        """No delays. Each wait still yields, so that the event loop can notice a disconnected client."""
        return cls(prompt_tokens_per_second=inf, tokens_per_second=inf, load_seconds=0)

    async def prompt(self, tokens: int) -> None:
        """Wait for the prefill of one batch of the prompt."""
        await asyncio.sleep(tokens / self._prompt_tokens_per_second)
        self._due[_current_task()] = asyncio.get_running_loop().time()

    async def token(self) -> None:
        """Wait before each token except the first.

        A due time is computed from the previous one and not from the end of the last sleep: timers fire a
        little late, which at hundreds of tokens a second would add up to a much slower model.
        """
        now = asyncio.get_running_loop().time()
        task = _current_task()
        due = max(self._due.get(task, now) + self._token_seconds, now - LONGEST_LAG_SECONDS)
        self._due[task] = due
        await asyncio.sleep(max(0.0, due - now))

    async def load(self, fraction: float) -> None:
        """Wait before the progress packet of a load that reports `fraction` (0 to 1)."""
        await asyncio.sleep(self._load_step_seconds)


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a pace can only be awaited inside a task")
    return task
