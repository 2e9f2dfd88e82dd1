"""What one exchange adds to the ledger."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.errors import (
    BadRequest,
    ContextLengthExceeded,
    GatewayEnding,
    GatewayError,
    KeysUnreadable,
    ModelNotAllowed,
    ModelNotFound,
    Overloaded,
    RateLimitExceeded,
    RequestCancelled,
    StudioFailed,
    Unauthorized,
    UpstreamBroke,
    UpstreamNotReached,
    UpstreamSilent,
)
from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.record import Conclusion, RequestRecord, conclude, make_record
from lmgateway.observe.tokens import TokenCount
from lmgateway.observe.usage import Counts

LEFT = asyncio.CancelledError()
WHOLE = TokenCount(seen=3, prompt_tokens=7, completion_tokens=4, reasoning_tokens=2)
REQUEST, ERROR, REFUSED = Counts(requests=1), Counts(requests=1, errors=1), Counts(refused=1)


def exchange_of(*, generates: bool = True, runs_model: bool = True) -> Exchange:
    return Exchange(
        request_id="id",
        client="client",
        method="POST",
        path="/",
        cancellation=Cancellation(lambda: None),
        generates=generates,
        runs_model=runs_model,
        started=1000.0,
        began=5000.0,
    )


def counts_of(record: RequestRecord) -> Counts:
    counts = Counts()
    counts.add_record(record)
    return counts


def counted(
    exc: BaseException | None = None,
    reason: GatewayError | None = None,
    *,
    sent: float | None = 1001.0,
    status: int = 499,
    fault: str | None = None,
) -> Counts:
    """The counts of an exchange without a model that ends so."""
    exchange = exchange_of(runs_model=False)
    exchange.sent = sent
    exchange.status = status
    return counts_of(make_record(exchange, conclude(exc, reason, status=status, stream_fault=fault), 1002.0))


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("x"),
        ModelNotAllowed("x"),
        ModelNotFound("x"),
        RateLimitExceeded("x"),
        Overloaded("x"),
        KeysUnreadable("x"),
        GatewayEnding("x"),
        RequestCancelled("x"),
    ],
)
def test_what_the_gateway_turns_away_is_only_refused(error: GatewayError) -> None:
    """400, 403, 404, 429 and its own 503s are no requests."""
    assert counted(error, sent=None) == counted(LEFT, error, sent=None) == REFUSED


@pytest.mark.parametrize(
    ("exc", "sent"),
    [
        (UpstreamNotReached("x"), None),
        (UpstreamSilent("x"), 1001.0),
        (UpstreamBroke("x"), 1001.0),
        (StudioFailed("x"), 1001.0),
        (ZeroDivisionError(), 1001.0),  # ours: it would be seen nowhere else
    ],
)
def test_a_failure_of_lm_studio_is_an_error(exc: Exception, sent: float | None) -> None:
    """Also if it couldn't be reached, so that an outage is seen."""
    assert counted(exc, sent=sent) == ERROR


def test_failures_that_lm_studio_reports_are_errors() -> None:
    """A 5xx, and an error in a stream or its missing end; a 4xx is an answer."""
    assert counted(status=500) == ERROR
    assert counted(status=200, fault="It reported an error.") == ERROR
    assert [counted(status=status) for status in (200, 302, 400, 404, 429)] == [REQUEST] * 5


@pytest.mark.parametrize(
    "reason", [None, RequestCancelled("x"), GatewayEnding("x"), Unauthorized("x"), ContextLengthExceeded("x")]
)
def test_what_is_ended_while_it_runs_is_a_request_without_an_error(reason: GatewayError | None) -> None:
    """LM Studio is not to blame for a client that leaves, an admin, a restart, a revoked key."""
    assert counted(LEFT, reason) == REQUEST


def test_an_answer_in_other_words_is_an_answer() -> None:
    """The 400 or 404 that replaces LM Studio's own isn't a refusal."""
    exchange = exchange_of()
    exchange.sent = 1001.0
    exchange.replaced(ContextLengthExceeded("x"))
    record = make_record(exchange, conclude(None, None, status=400, stream_fault=None), 1002.0)
    assert counts_of(record) == Counts(requests=1, gpu_ms=1000)


@pytest.mark.parametrize(
    ("count", "generates", "status", "outcome", "untold", "prompt", "completion"),
    [
        pytest.param(WHOLE, True, 200, "completed", 0, 7, 4, id="whole"),
        pytest.param(None, True, 200, "completed", 1, 0, 0, id="not counted, such as a compressed one"),
        pytest.param(TokenCount(), True, 200, "completed", 1, 0, 0, id="no usage"),
        pytest.param(TokenCount(seen=5), True, 200, "completed", 1, 0, 5, id="a stream without usage"),
        pytest.param(TokenCount(prompt_tokens=7), True, 200, "completed", 1, 7, 0, id="only the prompt"),
        pytest.param(TokenCount(completion_tokens=4), True, 200, "completed", 1, 0, 4, id="without prompt"),
        pytest.param(TokenCount(prompt_tokens=7), False, 200, "completed", 0, 7, 0, id="embedding"),
        pytest.param(TokenCount(completion_tokens=0), False, 200, "completed", 1, 0, 0, id="embedding 0/0"),
        pytest.param(None, True, 400, "completed", 0, 0, 0, id="refused by LM Studio"),
        pytest.param(None, True, 500, "failed", 0, 0, 0, id="failed"),
        pytest.param(TokenCount(seen=3, prompt_tokens=7), True, 200, "aborted", 1, 7, 3, id="left"),
        pytest.param(None, True, 499, "aborted", 1, 0, 0, id="left before the answer"),
        pytest.param(TokenCount(seen=3), True, 200, "cancelled", 1, 0, 3, id="cancelled"),
    ],
)
def test_what_is_not_told_is_said(
    count: TokenCount | None,
    generates: bool,
    status: int,
    outcome: str,
    untold: int,
    prompt: int,
    completion: int,
) -> None:
    """A token that LM Studio didn't report is in `untold`, and isn't taken for 0."""
    exchange = exchange_of(generates=generates)
    exchange.sent = 1001.0
    exchange.answered(status, stream=False, count=count)
    error = RequestCancelled("x") if outcome == "cancelled" else None
    counts = counts_of(make_record(exchange, Conclusion(outcome, error), 1002.0))  # type: ignore[arg-type]
    assert (counts.untold, counts.prompt_tokens, counts.completion_tokens) == (untold, prompt, completion)


def test_a_broken_stream_is_an_error_with_what_went_by() -> None:
    exchange = exchange_of()
    exchange.sent = 1001.0
    exchange.answered(200, stream=True, count=TokenCount(seen=3, fault="broke"))
    conclusion = conclude(None, None, status=200, stream_fault="broke")
    assert counts_of(make_record(exchange, conclusion, 1002.0)) == Counts(
        requests=1, errors=1, completion_tokens=3, gpu_ms=1000, untold=1
    )


def test_times() -> None:
    """The GPU's time begins when the request is sent, and only requests that run a model take it."""
    exchange = exchange_of()
    exchange.queued_ms = 400
    exchange.sent = 1001.5
    exchange.answered(200, stream=False, count=WHOLE)
    assert counts_of(make_record(exchange, Conclusion("completed"), 1004.0)) == Counts(
        requests=1, prompt_tokens=7, completion_tokens=4, reasoning_tokens=2, gpu_ms=2500, wait_ms=400
    )
    listing = exchange_of(generates=False, runs_model=False)
    listing.sent = 1001.5
    listing.answered(200, stream=False, count=None)
    assert counts_of(make_record(listing, Conclusion("completed"), 1004.0)) == REQUEST
