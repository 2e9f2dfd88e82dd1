"""The outcome of an exchange, from the exception that left its block and from LM Studio's answer."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.errors import BadRequest, GatewayEnding, GatewayError, RequestCancelled, UpstreamBroke
from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.record import Conclusion, conclude, make_record
from lmgateway.observe.tokens import TokenCount
from lmgateway.schema.debug import Outcome

BROKE, STOPPED, CANCELLED = UpstreamBroke("x"), GatewayEnding("x"), RequestCancelled("x")
LEFT = asyncio.CancelledError()


@pytest.mark.parametrize(
    ("exc", "reason", "status", "stream_fault", "outcome", "code"),
    [
        pytest.param(None, None, 200, None, "completed", None, id="whole answer"),
        pytest.param(None, None, 404, None, "completed", None, id="LM Studio's no"),
        pytest.param(None, None, 500, None, "failed", None, id="LM Studio's failure"),
        pytest.param(None, None, 200, "x", "failed", "upstream_broke", id="error in a stream"),
        pytest.param(BROKE, None, 200, None, "failed", "upstream_broke", id="broken answer"),
        pytest.param(BadRequest("x"), None, 499, None, "failed", "bad_request", id="refused"),
        pytest.param(CANCELLED, None, 499, None, "cancelled", "request_cancelled", id="cancelled, raised"),
        pytest.param(LEFT, None, 200, None, "aborted", None, id="client left"),
        pytest.param(ConnectionResetError(), None, 200, None, "aborted", None, id="gone"),
        pytest.param(LEFT, CANCELLED, 200, None, "cancelled", CANCELLED.code, id="admin"),
        pytest.param(LEFT, STOPPED, 200, None, "failed", "gateway_ending", id="drained"),
        pytest.param(ZeroDivisionError(), None, 200, None, "failed", "internal_error", id="fault of ours"),
        pytest.param(None, STOPPED, 200, None, "completed", None, id="ended before the cancellation"),
    ],
)  # fmt: skip
def test_outcome(
    exc: BaseException | None,
    reason: GatewayError | None,
    status: int,
    stream_fault: str | None,
    outcome: Outcome,
    code: str | None,
) -> None:
    conclusion = conclude(exc, reason, status=status, stream_fault=stream_fault)
    assert (conclusion.outcome, conclusion.error and conclusion.error.code) == (outcome, code)


def exchange_of(cancellation: Cancellation | None = None) -> Exchange:
    return Exchange(
        request_id="id",
        client="client",
        method="POST",
        path="/",
        cancellation=cancellation or Cancellation(lambda: None),
        redact=lambda text: text.replace("secret", "***"),
        started=1000.0,
        began=5000.0,
    )


def test_a_record_has_counts_times_and_the_error() -> None:
    """The key is redacted from the model's name and from the error."""
    exchange = exchange_of()
    exchange.resolved("secret-model", stream=True)
    count = TokenCount(seen=3, prompt_tokens=4, completion_tokens=3)
    exchange.answered(200, stream=True, count=count)
    exchange.first_token, exchange.last_token = 1000.5, 1001.5
    record = make_record(exchange, Conclusion("failed", UpstreamBroke("broke: secret")), 1002.0)
    assert (record.model, record.error, record.error_code) == ("***-model", "broke: ***", "upstream_broke")
    assert (record.status, record.stream) == (502, True)
    assert record.usage is not None
    assert (record.usage.total_tokens, record.tokens) == (7, 3)
    assert (record.ttft_ms, record.tokens_per_second, record.total_ms) == (500, 2.0, 2000)
    assert (record.started, record.began, record.ended) == (1000.0, 5000.0, 5002.0)


def test_only_the_first_interruption_counts() -> None:
    """A request is cancelled once, with the first reason."""
    cancelled: list[None] = []
    exchange = exchange_of(Cancellation(lambda: cancelled.append(None)))
    for error in (CANCELLED, STOPPED):
        exchange.cancellation.interrupt(error)
    assert (exchange.cancellation.error, cancelled) == (CANCELLED, [None])


def test_a_client_that_left_before_its_answer_is_no_error() -> None:
    record = make_record(exchange_of(), Conclusion("aborted"), 1001.0)
    assert (record.outcome, record.status, record.error) == ("aborted", 499, None)
