"""An exchange with LM Studio while it runs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from itertools import count

from msgspec import Struct, field

from ..errors import GatewayError
from ..schema.debug import Phase
from .clock import unix_time
from .tokens import TokenCount, generation_speed

# nginx's number for a client that left before its answer. It is logged and never sent.
CLIENT_LEFT = 499
OTHER_ROUTE = "other"

# Different in each process, so that ids in months of logs are unique; counted for all of a process, so that
# those of two applications in it are.
_PROCESS = secrets.token_hex(6)
_numbers = count(1)


def make_request_id() -> str:
    return f"req_{_PROCESS}{next(_numbers):012x}"


class Cancellation:
    """Cancels what a client asked for, and remembers why. Without an error it is the client that left."""

    __slots__ = ("_cancel", "error")

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        self.error: GatewayError | None = None

    def interrupt(self, error: GatewayError) -> None:
        """End it with this error, which its client is sent. Only the first one counts."""
        if self.error is None:
            self.error = error
            self._cancel()


# A Struct takes 0.2 µs to make, a dataclass with as many fields 0.5 µs.
class Exchange(Struct, eq=False, kw_only=True):
    """A request to LM Studio and its answer, so far. Only its own methods change it.

    An HTTP request makes one at most, a socket one for each prediction. `client` is the address behind
    trusted proxies, `key` the name of the caller's key. `started` is of the monotonic clock, `began` the same
    moment in Unix seconds. `redact` takes keys out of a text.
    """

    request_id: str
    client: str
    method: str
    path: str
    cancellation: Cancellation
    key: str = "anyone"
    redact: Callable[[str], str] = str
    route: str = OTHER_ROUTE
    generates: bool = False
    started: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=unix_time)
    model: str | None = None
    stream: bool = False
    status: int = CLIENT_LEFT
    count: TokenCount | None = None
    prompt_progress: float | None = None
    first_token: float | None = None
    last_token: float | None = None

    def resolved(self, model: str | None, *, stream: bool) -> None:
        """The request's body was read: which model it is for, and whether it asks for a stream."""
        self.stream = stream
        if model is not None:
            self.model = self.redact(model)

    def answered(self, status: int, *, stream: bool, count: TokenCount | None) -> None:
        """LM Studio's answer began. `count` is the one that its meter goes on counting in."""
        self.status = status
        # A stream is what LM Studio says is one, whatever was asked for.
        self.stream |= stream
        self.count = count

    def prompt_progressed(self, fraction: float) -> None:
        """LM Studio has processed this much of the prompt, from 0 to 1."""
        self.prompt_progress = fraction

    def token_seen(self) -> None:
        """A token went by just now."""
        self.last_token = time.monotonic()
        if self.first_token is None:
            self.first_token = self.last_token

    @property
    def phase(self) -> Phase:
        if self.first_token is not None:
            return "generating"
        return "waiting" if self.prompt_progress is None else "prompt"

    @property
    def tokens(self) -> int:
        """Tokens generated so far."""
        return self.count.generated if self.count else 0

    @property
    def ttft_ms(self) -> int | None:
        """Time to first token: measured in a stream, else as LM Studio reports it."""
        if self.first_token is not None:
            return round((self.first_token - self.started) * 1000)
        reported = self.count.time_to_first_token if self.count else None
        return None if reported is None else round(reported * 1000)

    def elapsed_ms(self, now: float) -> int:
        return round((now - self.started) * 1000)

    def tokens_per_second(self, now: float) -> float | None:
        if self.count is None:
            return None
        passed = None if self.first_token is None else (self.last_token or 0.0) - self.first_token
        return generation_speed(self.count, total=now - self.started, passed=passed, stream=self.stream)
