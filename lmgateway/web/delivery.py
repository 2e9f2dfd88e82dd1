"""Delivers a request to LM Studio: admit → address → send → judge, in at most three rounds."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

from msgspec import Struct

from ..boxes.box import Box
from ..boxes.http.client import Outgoing
from ..boxes.http.response import UpstreamResponse
from ..errors import GatewayError, Overloaded, UpstreamUnavailable, UpstreamWentDown
from ..observe.exchange import Exchange
from ..schema.common import Mobility
from ..traffic.dialects import Dialect
from ..traffic.headers import EVENT_STREAM, JSON, media_type
from ..traffic.judge import Reply, SendMended, Verdict, judge, judge_failure, may_be_error
from ..traffic.plan import Plan, RelayOptions
from ..traffic.stream_end import LAST_EVENTS, reports_error

# The pause before a retry, in which a box that refused a connection may begin to listen.
RETRY_PAUSE_SECONDS = 0.2
# A longer error isn't one that is mended.
MAX_ERROR_BYTES = 64 * 1024


class Addressed(NamedTuple):
    """A request, and the box that it goes to: after a reload still the one at which it got its slot.

    `mobility` as for Ticket; `is_bound`: no other box may answer.
    """

    plan: Plan
    box: Box
    mobility: Mobility = "none"
    is_bound: bool = False


class WaitAgain(Protocol):
    """Waits for another slot, on another box with `elsewhere`; returns the same request to its instance."""

    async def __call__(self, addressed: Addressed, *, elsewhere: bool = False) -> Addressed: ...


class Delivered(Struct, frozen=True):
    """LM Studio's response; `kind` is its media type, `first` the beginning of its body, if that was read."""

    response: UpstreamResponse
    kind: str
    first: bytes
    box: Box
    options: RelayOptions


async def deliver(addressed: Addressed, exchange: Exchange, wait_again: WaitAgain) -> Delivered:
    """Return LM Studio's response as soon as its first bytes are received. The caller closes it.

    Raises UpstreamUnavailable, UpstreamSilent, UpstreamBroke, the failure of the client's upload, the error
    that replaces a response of LM Studio's, and as `wait_again`.
    """
    failures, may_wait = 0, True
    while True:
        planned, box = addressed.plan, addressed.box
        exchange.mended_as(planned.relay.mended)
        exchange.sent_to(box.name)
        try:
            response = await box.send(address(planned, box), silence=planned.silence_seconds)
        except GatewayError as exc:
            failure, failures = cause_of(exc, planned), failures + 1
            if failure is not exc or isinstance(exc, (UpstreamUnavailable, Overloaded)):
                exchange.not_sent()
            addressed = await again(addressed, failure, failures, wait_again)
            continue
        kind = media_type(response.headers)
        if not planned.relay.mends and planned.relay.instance is None:
            return Delivered(response, kind, b"", box, planned.relay)
        try:
            first = await look(response, kind, planned.relay.dialect)
        except BaseException:
            response.close()
            raise
        verdict = judged(response, kind, first, planned)
        if verdict == "pass" or (verdict == "wait again" and not may_wait):
            return Delivered(response, kind, first, box, planned.relay)
        response.close()
        if verdict == "wait again":
            exchange.not_sent()
            addressed, may_wait = await wait_again(addressed), False
            continue
        if not isinstance(verdict, SendMended):
            exchange.replaced(verdict)
            verdict.headers = planned.relay.fields
            raise verdict
        box.refusals.add(planned.model, verdict.mend)
        addressed = addressed._replace(plan=planned.with_mend(verdict.mend, verdict.body))


async def again(
    addressed: Addressed, failure: GatewayError, failures: int, wait_again: WaitAgain
) -> Addressed:
    """Return the request that is sent after a failed attempt. Raises the failure, or as `wait_again`."""
    if addressed.box.may_sleep and failures == 1 and may_be_asleep(failure, addressed):
        return await wait_again(addressed)  # it is woken up, unless another box has the model
    match judge_failure(failure, failures, "none" if addressed.is_bound else addressed.mobility):
        case "retry":
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
            # LM Studio may have been started again meanwhile, with nothing in memory.
            return await wait_again(addressed)
        case "another box":
            try:
                return await wait_again(addressed, elsewhere=True)
            except UpstreamUnavailable as exc:  # no other one has the model, or is up
                raise failure from exc
    raise failure


def may_be_asleep(failure: GatewayError, addressed: Addressed) -> bool:
    """True if a request that failed so may be sent once more when the box's machine is awake."""
    body = addressed.plan.body
    if body is not None and not isinstance(body, (bytes, tuple)):
        return False  # what was read of it is gone
    is_unsent = not isinstance(failure, UpstreamWentDown)
    return isinstance(failure, UpstreamUnavailable) and (is_unsent or addressed.mobility == "any")


def address(planned: Plan, box: Box) -> Outgoing:
    """Return the request for this box, with the box's API token."""
    body = planned.body
    parts = body if body is None or isinstance(body, (bytes, tuple)) else body.chunks()
    return box.http.address(planned.method, planned.target, planned.headers, parts)


async def look(response: UpstreamResponse, kind: str, dialect: Dialect | None) -> bytes:
    """Read what decides whether a response is relayed. Raises as UpstreamResponse.read().

    That is the first piece of a generation's stream, and all of an error's body. Any other head is relayed at
    once, whether or not its body follows.
    """
    is_stream = kind.startswith(EVENT_STREAM)
    if not (is_stream or kind.startswith(JSON)) or "Content-Encoding" in response.headers:
        return b""
    body = response.read_ready()
    if is_stream:
        if not body and dialect is not None and dialect.generates and not response.has_ended:
            body = await response.read()
        return body
    if (dialect is not None and response.status >= 400) or may_be_error(response.status, body):
        while not response.has_ended and len(body) <= MAX_ERROR_BYTES:
            body += await response.read()
    return body


def judged(response: UpstreamResponse, kind: str, first: bytes, planned: Plan) -> Verdict:
    """Return what follows a response whose beginning was read."""
    if planned.method != "HEAD" and not may_be_error(response.status, first):
        return "pass"
    length = response.headers.get("Content-Length", "") if kind.startswith(JSON) else ""
    reply = Reply(
        status=response.status,
        length=int(length) if length.isdecimal() else None,
        body=first,
        is_whole=response.has_ended,
    )
    return judge(reply, planned)


def has_failed(delivered: Delivered, exchange: Exchange) -> bool:
    """True if LM Studio's response says that the request has failed, as far as it was received and read."""
    response, count = delivered.response, exchange.count
    if response.status >= 400:
        return True
    if not delivered.kind.startswith(EVENT_STREAM):
        return False
    if count is not None and count.fault is not None:
        return True
    return reports_error(delivered.first) or reports_error(response.unread_end(LAST_EVENTS))


def cause_of(failure: GatewayError, planned: Plan) -> GatewayError:
    """Return the failure of the client's upload if there is one: it looks like a failure of LM Studio."""
    upload = None if isinstance(planned.body, (bytes, tuple)) else planned.body
    return failure if upload is None or upload.failure is None else upload.failure
