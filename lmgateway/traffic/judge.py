"""What follows an attempt to deliver a request to LM Studio: pure decisions."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from ..errors import (
    BadRequest,
    EndpointNotFound,
    GatewayError,
    UpstreamDropped,
    UpstreamNotReached,
    UpstreamUnavailable,
    UpstreamWentDown,
)
from ..schema.common import Mend, Mobility
from .mend_requests import advice, refused
from .plan import Plan, mended_body
from .studio_errors import (
    context_length_exceeded,
    is_unexpected_endpoint,
    is_unknown_model,
    overflow_of,
    sentence_of,
    unexpected_lengths,
)

# The first attempt and one retry.
_MAX_ATTEMPTS = 2
# A request is sent again, mended, at most so often: three rounds in all.
_MAX_MENDS = 2
# With which LM Studio refuses a model's name that it doesn't know.
_NOT_FOUND = {400, 404}
# Of an error that LM Studio reports with status 200, and of any other.
_DISGUISED = re.compile(rb'\s*\{\s*"error"')
_ERROR_BEGINNING = re.compile(rb'\s*\{\s*"(?:error|type|message)"')


def judge_failure(
    failure: GatewayError, attempts: int, mobility: Mobility = "none"
) -> Literal["retry", "another box", "fail"]:
    """Decide what follows a failed attempt; `attempts` counts those without a response so far.

    A request to the only LM Studio is retried only if no connection could be made. After any other failure LM
    Studio may have begun the work, and would do it twice. Of several, one that fails before it answers is
    passed over.
    """
    if mobility != "none":
        was_sent = isinstance(failure, (UpstreamWentDown, UpstreamDropped))
        has_failed = isinstance(failure, (UpstreamUnavailable, UpstreamDropped))
        may_move = has_failed and (mobility == "any" or not was_sent)
        return "another box" if may_move else "fail"
    return "retry" if isinstance(failure, UpstreamNotReached) and attempts < _MAX_ATTEMPTS else "fail"


class Reply(Struct, frozen=True):
    """What is looked at of a response: its head, and the beginning of its body, or all of a short one."""

    status: int
    length: int | None
    body: bytes
    is_whole: bool


class SendMended(Struct, frozen=True):
    """The request is to be sent again, with this mend."""

    mend: Mend
    body: bytes


Verdict = Literal["pass", "wait again"] | SendMended | GatewayError


def may_be_error(status: int, beginning: bytes) -> bool:
    """True if this may be the beginning of an error's body, which is then read to its end."""
    pattern = _DISGUISED if status < 400 else _ERROR_BEGINNING
    return pattern.match(beginning) is not None


def judge(reply: Reply, plan: Plan) -> Verdict:
    """Decide what follows a response: it is relayed, replaced by an error, or the request is sent mended.

    Or it waits for another slot: the instance that the gateway has put into its body is gone.
    """
    if plan.method == "HEAD":
        is_missing = reply.status == 200 and reply.length in unexpected_lengths("HEAD", plan.target)
        return _endpoint_not_found(plan) if is_missing else "pass"
    if not reply.is_whole:
        return "pass"
    sentence = sentence_of(reply.body)
    if reply.status in _NOT_FOUND and is_unknown_model(sentence, plan.relay.instance):
        return "wait again"
    if not plan.relay.mends:
        return "pass"
    if reply.status == 200 and is_unexpected_endpoint(sentence):
        return _endpoint_not_found(plan)
    if (overflow := overflow_of(sentence)) is not None:
        return context_length_exceeded(plan.relay.path, overflow)
    if isinstance(plan.body, (bytes, tuple)):
        return _judge_refusal(reply, plan)
    return "pass"


def _endpoint_not_found(plan: Plan) -> EndpointNotFound:
    return EndpointNotFound(f"LM Studio has no endpoint {plan.method} {plan.relay.path}.")


def _judge_refusal(reply: Reply, plan: Plan) -> Verdict:
    path, done = plan.relay.path, plan.relay.mended
    mend = refused(path, reply.status, reply.body)
    may_mend = len(done) - plan.known_mends < _MAX_MENDS
    if mend is not None and mend not in done and may_mend:
        body = mended_body(plan, mend)
        if body is not None:
            return SendMended(mend, body)
    if (text := advice(path, reply.status, reply.body)) is not None:
        return BadRequest(text)
    return "pass"
