"""A running exchange with LM Studio."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from itertools import count

from msgspec import Struct, field

from ..errors import GatewayError
from ..schema.debug import Phase
from ..text import clean_name
from .clock import unix_time
from .served_model import ModelOf, other_model
from .tokens import TokenCount, generation_speed

# nginx's status for a client that disconnected before the response. It is logged, never sent.
CLIENT_LEFT = 499
OTHER_ROUTE = "other"

# Random for each process, so that ids are unique across restarts; the counter is per process, so that ids of
# two applications in it differ too.
_PROCESS = secrets.token_hex(6)
_numbers = count(1)


def make_request_id() -> str:
    return f"req_{_PROCESS}{next(_numbers):012x}"


class Cancellation:
    """Cancels a request, and remembers why. Without `error`, its client has disconnected."""

    __slots__ = ("_cancel", "error")

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        self.error: GatewayError | None = None

    def interrupt(self, error: GatewayError) -> None:
        """End the request with this error, which is sent to the client. Only the first call has an effect."""
        if self.error is None:
            self.error = error
            self._cancel()


# A Struct takes 0.2 µs to make, a dataclass with as many fields 0.5 µs.
class Exchange(Struct, eq=False, kw_only=True):
    """The state of a running request to LM Studio. Only its own methods change it.

    An HTTP request has at most one, a socket one for each prediction. `client` is the address behind trusted
    proxies, `key` the name of the caller's key. `started` is by the monotonic clock, `began` the same moment
    in Unix seconds. `redact` removes keys from a text. `path` and `model`, which clients choose, are cleaned.
    `runs_model` is true if LM Studio generates or embeds for it. `only_box` is the box to which it can only
    go, empty if there are several. `box` is empty until one is chosen, which got it at `sent`, by the
    monotonic clock; `queued_ms` is how long it waited in the gateway before, `gpu_ms` what it had of the
    machine's time, None if it wasn't measured.
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
    runs_model: bool = False
    only_box: str = ""
    has_begun: bool = False
    started: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=unix_time)
    model: str | None = None
    box: str = ""
    queued_ms: int = 0
    gpu_ms: int | None = None
    sent: float | None = None
    stream: bool = False
    status: int = CLIENT_LEFT
    count: TokenCount | None = None
    prompt_progress: float | None = None
    is_replaced: bool = False
    first_token: float | None = None
    last_token: float | None = None
    mended: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def resolved(self, model: str | None, *, stream: bool, ignored: tuple[str, ...] = ()) -> None:
        """Record the model and whether a stream is requested, when the request's body has been read.

        `ignored` are the members of the body that aren't sent on.
        """
        self.stream, self.ignored = stream, ignored
        if model is not None:
            self.model = clean_name(model, self.redact)

    def waited(self, seconds: float) -> None:
        """Record for how long the request waited in line."""
        self.queued_ms += round(seconds * 1000)

    def spent(self, seconds: float) -> None:
        """Record what the request had of the machine's time until now."""
        self.gpu_ms = round(seconds * 1000)

    def sent_to(self, box: str) -> None:
        """Record that the request is sent to this box now. Of several attempts the first counts."""
        self.box = box
        if self.sent is None:
            self.sent = time.monotonic()

    def not_sent(self) -> None:
        """Record that the box didn't get the request, or not all of it."""
        self.sent = None

    def answered(self, status: int, *, stream: bool, count: TokenCount | None) -> None:
        """Record the head of LM Studio's response. The response's meter goes on updating `count`."""
        self.status = status
        # LM Studio may stream although the request didn't ask for it.
        self.stream |= stream
        self.count = count

    def mended_as(self, names: tuple[str, ...]) -> None:
        """Record the names of the changes by which a request that LM Studio had refused was mended."""
        self.mended = names

    def replaced(self, error: GatewayError) -> None:
        """Record that the client gets this error in place of LM Studio's response, which said the same."""
        self.status, self.count, self.is_replaced = error.status, None, True

    def prompt_progressed(self, fraction: float) -> None:
        """Record how much of the prompt LM Studio has processed, from 0 to 1."""
        self.prompt_progress = fraction

    def token_seen(self) -> None:
        """Record that a token was relayed now."""
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

    def served_model(self, model_of: ModelOf) -> str | None:
        """Return the model that answers, None if it is the one that was asked for, or unknown."""
        answered = None if self.count is None else self.count.model
        if answered is None or answered == self.model:
            return None
        return other_model(self.model, clean_name(answered, self.redact), model_of)

    @property
    def ttft_ms(self) -> int | None:
        """Time to first token, since it was sent to LM Studio: measured in a stream, else as it reports."""
        if self.first_token is not None:
            return round((self.first_token - (self.sent or self.started)) * 1000)
        reported = self.count.time_to_first_token if self.count else None
        return None if reported is None else round(reported * 1000)

    def elapsed_ms(self, now: float) -> int:
        return round((now - self.started) * 1000)

    def tokens_per_second(self, now: float) -> float | None:
        if self.count is None:
            return None
        passed = None if self.first_token is None else (self.last_token or 0.0) - self.first_token
        return generation_speed(self.count, total=now - self.started, passed=passed, stream=self.stream)
