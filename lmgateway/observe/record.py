"""The record of an exchange: made once, when it has ended, and never changed."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

from msgspec import Struct

from ..errors import (
    INTERNAL_FAILURE,
    GatewayError,
    RequestCancelled,
    StudioFailed,
    UpstreamBroke,
    UpstreamSilent,
    UpstreamUnavailable,
)
from ..schema.debug import Outcome, TokenUsage
from ..text import clean_sentence
from .exchange import Exchange
from .served_model import ModelOf

CountsAs = Literal["request", "error", "refused"]
_UPSTREAM_FAILURES = (UpstreamUnavailable, UpstreamSilent, UpstreamBroke, StudioFailed)


class Conclusion(NamedTuple):
    outcome: Outcome
    error: GatewayError | None = None

    @property
    def is_error(self) -> bool:
        """True if it counts as an error. A client's disconnection doesn't."""
        return self.outcome in {"failed", "cancelled"}

    @property
    def is_upstream_failure(self) -> bool:
        """True if LM Studio failed, or the gateway by a bug."""
        error = self.error
        if self.outcome != "failed":
            return False
        # Without an error it is LM Studio's response with a 5xx.
        return error is None or isinstance(error, _UPSTREAM_FAILURES) or type(error) is GatewayError

    def counts_as(self, *, was_sent: bool) -> CountsAs:
        """Return as what it is counted: a request, also as an error, or only as refused by the gateway."""
        if self.is_upstream_failure:
            return "error"
        return "request" if was_sent or self.error is None else "refused"


# gc=False: thousands of them live for long, and none is part of a reference cycle.
class RequestRecord(Struct, frozen=True, kw_only=True, gc=False):
    """An exchange that has ended.

    `served_model` is the model that answered, None if it is `model` or unknown. `mended` names the changes by
    which a request that LM Studio had refused was mended. `chose_box`: it might have gone to several boxes.
    `counts_as` says whether it is a request, one with an error of LM Studio's, or was refused by the gateway.
    `is_untold`: LM Studio generated or embedded, and didn't report all of its tokens. `gpu_ms` is its part of
    the machine's time or, if that wasn't measured, the time from sending it to its end; 0 if no model ran.
    `status` is the client's, or that of an error which occurred after the head was sent. `error` is the
    error with which the gateway ended the exchange, without keys. `started` is by the monotonic clock;
    `began` and `ended` are in Unix seconds.
    """

    request_id: str
    key: str
    client: str
    method: str
    path: str
    route: str
    model: str | None
    served_model: str | None
    box: str
    chose_box: bool
    mended: tuple[str, ...]
    stream: bool
    outcome: Outcome
    counts_as: CountsAs
    status: int
    error: str | None
    error_code: str | None
    usage: TokenUsage | None
    tokens: int
    is_untold: bool
    gpu_ms: int
    queued_ms: int
    ttft_ms: int | None
    tokens_per_second: float | None
    total_ms: int
    started: float
    began: float
    ended: float


def conclude(
    exc: BaseException | None, reason: GatewayError | None, *, status: int, stream_fault: str | None
) -> Conclusion:
    """Decide how an exchange ended; `exc` is the exception that ended it, if any.

    `reason` is why it was cancelled, None if its client disconnected. `status` is LM Studio's, `stream_fault`
    what is wrong with its stream.
    """
    match exc:
        case None if stream_fault is not None:
            return Conclusion("failed", UpstreamBroke(stream_fault))
        case None:
            return Conclusion("completed" if status < 500 else "failed")
        case asyncio.CancelledError() if reason is not None:
            error = reason
        case asyncio.CancelledError() | ConnectionError():
            return Conclusion("aborted")
        case GatewayError():
            error = exc
        case _:  # logged where it is rendered
            error = GatewayError(INTERNAL_FAILURE)
    return Conclusion("cancelled" if isinstance(error, RequestCancelled) else "failed", error)


def make_record(
    exchange: Exchange, conclusion: Conclusion, now: float, model_of: ModelOf = str
) -> RequestRecord:
    """Return the record of an exchange with this conclusion; `now` is its end by the monotonic clock."""
    count = exchange.count
    outcome, error = conclusion
    sent = exchange.sent
    return RequestRecord(
        request_id=exchange.request_id,
        key=exchange.key,
        client=exchange.client,
        method=exchange.method,
        path=exchange.path,
        route=exchange.route,
        model=exchange.model,
        served_model=exchange.served_model(model_of),
        box=exchange.box,
        chose_box=not exchange.only_box,
        mended=exchange.mended,
        stream=exchange.stream,
        outcome=outcome,
        counts_as=conclusion.counts_as(was_sent=sent is not None),
        status=exchange.status if error is None else error.status,
        error=None if error is None else clean_sentence(error.message, exchange.redact),
        error_code=None if error is None else error.code,
        usage=None if count is None else count.usage,
        tokens=0 if count is None else count.generated,
        is_untold=_is_untold(exchange, conclusion),
        gpu_ms=_gpu_ms(exchange, now),
        queued_ms=exchange.queued_ms,
        ttft_ms=exchange.ttft_ms,
        tokens_per_second=exchange.tokens_per_second(now),
        total_ms=exchange.elapsed_ms(now),
        started=exchange.started,
        began=exchange.began,
        ended=exchange.began + now - exchange.started,
    )


def _gpu_ms(exchange: Exchange, now: float) -> int:
    if exchange.gpu_ms is not None:
        return exchange.gpu_ms
    return round((now - exchange.sent) * 1000) if exchange.sent is not None and exchange.runs_model else 0


def _is_untold(exchange: Exchange, conclusion: Conclusion) -> bool:
    """True if LM Studio generated or embedded, or may have, and didn't report all of its tokens."""
    if not exchange.runs_model or exchange.sent is None:
        return False
    if conclusion.outcome != "completed":
        # It has ended early: what was reported until then may not be all. A 5xx has generated nothing.
        return conclusion.outcome != "failed" or conclusion.error is not None
    if (count := exchange.count) is None or count.prompt_tokens is None:
        return 200 <= exchange.status < 300
    return exchange.generates and count.completion_tokens is None and 200 <= exchange.status < 300
