"""Measures in LM Studio, by the gateway's rule but without its accounts, who gets the machine's time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from aiohttp import web
from aiohttp.typedefs import Handler

from lmgateway.simulator import Pace, Simulator, Switches
from lmgateway.simulator.engine.occupancy import Occupancy

# The `user` of the request that the current task belongs to: KEY/NUMBER.
_user: ContextVar[str] = ContextVar("user", default="")


class Meter(Pace):
    """At each moment, the passing time is split evenly among the requests that LM Studio processes.

    `seconds` is by key, `busy` is their sum. `began` is when LM Studio began with each request, by its user;
    `took` is how long each one that has ended took from then on.
    """

    def __init__(self, *, token_seconds: float, prompt_tokens_per_second: float, load_seconds: float) -> None:
        super().__init__(
            prompt_tokens_per_second=prompt_tokens_per_second,
            tokens_per_second=1 / token_seconds,
            load_seconds=load_seconds,
        )
        self.seconds: Counter[str] = Counter()
        self.began: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self._at = monotonic()
        self._running: Counter[str] = Counter()

    @property
    def busy(self) -> float:
        return sum(self.seconds.values())

    def of_keys(self) -> dict[str, float]:
        """Return the seconds of each key until now."""
        self._advance()
        return dict(self.seconds)

    async def prompt(self, tokens: int, speed: float = 1.0) -> None:
        self.began.setdefault(_user.get(), monotonic())
        with self._is_running():
            await super().prompt(tokens, speed)

    async def token(self, speed: float = 1.0) -> None:
        with self._is_running():
            await super().token(speed)

    @contextmanager
    def _is_running(self) -> Iterator[None]:
        key = _user.get().partition("/")[0]
        self._advance()
        self._running[key] += 1
        try:
            yield
        finally:
            self._advance()
            self._running[key] -= 1
            self.took[_user.get()] = monotonic() - self.began[_user.get()]

    def _advance(self) -> None:
        now = monotonic()
        total = self._running.total()
        for key, count in self._running.items():
            if count:
                self.seconds[key] += (now - self._at) * count / total  # type: ignore[assignment]
        self._at = now


class FreeSlots(Occupancy):
    """Adds up the time in which fewer requests ran than there are slots. `restart` begins the measurement."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self._slots = slots
        self._at = monotonic()
        self._free = 0.0

    def restart(self) -> None:
        self.seconds()
        self._free = 0.0

    def seconds(self) -> float:
        now = monotonic()
        if self.running < self._slots:
            self._free += now - self._at
        self._at = now
        return self._free

    def change(self, *, running: int, queued: int) -> None:
        self.seconds()
        super().change(running=running, queued=queued)


class MeteredSimulator(Simulator):
    """One model is in memory, if it is named; each has so many slots."""

    def __init__(self, meter: Meter, *, model: str | None, slots: int) -> None:
        super().__init__(pace=meter, switches=Switches(parallel=slots))
        self.free_slots = self.ledger.occupancy = FreeSlots(slots)
        if model is not None:
            self.load(model)

    @property
    def cut_off(self) -> int:
        """How many requests were on models that were unloaded."""
        return sum(unload.busy + unload.queued for unload in self.ledger.unloads)

    def make_app(self) -> web.Application:
        app = super().make_app()
        app.middlewares.append(_know_the_user)
        return app


@web.middleware
async def _know_the_user(request: web.Request, handler: Handler) -> web.StreamResponse:
    body = json.loads(await request.read()) if request.method == "POST" else {}
    _user.set(body.get("user", ""))
    return await handler(request)
