"""One request and what became of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web
from msgspec import Struct

from ..errors import GatewayError
from ..schema.debug import Outcome, Phase, TokenUsage
from .clock import iso_timestamp, unix_time
from .tokens import TokenCount

# nginx's number for a client that left before its answer; it is only ever logged, never sent.
CLIENT_LEFT = 499

# One token has no speed.
_FEWEST_TOKENS = 2


# Different in each process, so that the ids of months of logs are; and counted for all of a process, so that
# those of two applications in it are.
_PROCESS = secrets.token_hex(6)
_numbers = count(1)


def make_request_id() -> str:
    return f"req_{_PROCESS}{next(_numbers):012x}"


@dataclass(slots=True, eq=False)
class Exchange:
    """What is known about a request while it runs; written by the middlewares and the relay.

    `client` is the address that counts, behind trusted proxies. `key` is the name of the caller's key, empty
    before it is known and where none is needed. `response` is set once its head is on its way
    to the client; from then on a failure can only break the connection. Times are of the monotonic clock,
    but for `wall_clock`, which is when it began in Unix seconds. `redact` takes the key out of a text.
    """

    request_id: str
    client: str
    method: str
    path: str
    key: str = ""
    redact: Callable[[str], str] = str
    started: float = field(default_factory=time.monotonic)
    wall_clock: float = field(default_factory=unix_time)
    response: web.StreamResponse | None = None
    status: int = CLIENT_LEFT
    error: GatewayError | None = None
    # Of proxied requests only, as far as it is known.
    route: str = "other"
    model: str | None = None
    generates: bool = False
    stream: bool = False
    count: TokenCount | None = None
    prompt_progress: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    task: asyncio.Task[Any] | None = None
    announced: bool = False
    interruption: GatewayError | None = None

    def interrupt(self, error: GatewayError) -> None:
        """End the request with this error, wherever it is; its handler is cancelled."""
        if self.task is not None and self.interruption is None:
            self.interruption = error
            self.task.cancel()

    def token_came(self) -> None:
        """Take note that one went by just now."""
        self.last_token = time.monotonic()
        if self.first_token is None:
            self.first_token = self.last_token

    def close(self) -> None:
        """Let go of what only mattered while it ran: the rest is remembered for long, bodies mustn't be."""
        if self.ended is None:
            self.ended = time.monotonic()
        self.response = self.task = None
        if self.error is not None:
            self.error.__traceback__ = self.error.__cause__ = self.error.__context__ = None

    @property
    def timestamp(self) -> str:
        """When it began."""
        return iso_timestamp(self.wall_clock)

    @property
    def ended_at(self) -> float:
        """When it ended, in Unix seconds."""
        return self.wall_clock + (self.ended or time.monotonic()) - self.started

    @property
    def total_ms(self) -> int:
        return round(((self.ended or time.monotonic()) - self.started) * 1000)

    @property
    def phase(self) -> Phase:
        if self.first_token is not None:
            return "generating"
        return "waiting" if self.prompt_progress is None else "prompt"

    @property
    def tokens(self) -> int:
        """Tokens generated, so far or in all."""
        return self.count.generated if self.count else 0

    @property
    def ttft_ms(self) -> int | None:
        """Time to first token: seen going by in a stream, else as LM Studio tells it."""
        if self.first_token is not None:
            return round((self.first_token - self.started) * 1000)
        told = self.count.time_to_first_token if self.count else None
        return None if told is None else round(told * 1000)

    @property
    def tokens_per_second(self) -> float | None:
        """As LM Studio tells it, else tokens over generation time; None if that isn't known."""
        if self.count is not None and self.count.tokens_per_second is not None:
            return round(self.count.tokens_per_second, 2)
        tokens, seconds = self._generation
        return round(tokens / seconds, 2) if tokens and seconds else None

    @property
    def _generation(self) -> tuple[int, float]:
        """How many tokens were generated in how many seconds.

        That is how long they were seen going by, in which all but the first were generated. Where nobody saw
        them (in a plain answer, or in a stream that came in one piece) it is all of the answer's time.
        """
        if self.first_token is not None and self.last_token is not None and self._is_seen_going_by:
            return self.tokens - 1, self.last_token - self.first_token
        if self.stream and self.tokens < _FEWEST_TOKENS:  # of which most was spent on the prompt
            return 0, 0.0
        return self.tokens, (self.ended or time.monotonic()) - self.started

    @property
    def _is_seen_going_by(self) -> bool:
        # Events may hold several tokens; one that holds most of them was kept back until they were there.
        return self.count is not None and self.count.seen >= max(_FEWEST_TOKENS, self.tokens / 2)

    def past(self) -> PastExchange:
        """Return what is remembered of it when it has ended."""
        return PastExchange(
            request_id=self.request_id,
            client=self.client,
            method=self.method,
            path=self.path,
            model=self.model,
            outcome=self.outcome,
            status=self.status,
            error=self.redact(self.error.message) if self.error else None,
            usage=self.count.usage if self.count else None,
            tokens=self.tokens,
            ttft_ms=self.ttft_ms,
            tokens_per_second=self.tokens_per_second,
            total_ms=self.total_ms,
            started=self.started,
            timestamp=self.timestamp,
        )


class PastExchange(Struct, frozen=True):
    """An exchange that has ended; `started` is of the monotonic clock."""

    request_id: str
    client: str
    method: str
    path: str
    model: str | None
    outcome: Outcome | None
    status: int
    error: str | None
    usage: TokenUsage | None
    tokens: int
    ttft_ms: int | None
    tokens_per_second: float | None
    total_ms: int
    started: float
    timestamp: str
