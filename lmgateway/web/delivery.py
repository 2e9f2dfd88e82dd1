"""Delivers a request to LM Studio: admit → address → send → judge, in at most three rounds."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from ..boxes.box import Box
from ..boxes.http.client import Outgoing
from ..boxes.http.response import UpstreamResponse
from ..errors import GatewayError
from ..observe.exchange import Exchange
from ..traffic.headers import EVENT_STREAM, media_type
from ..traffic.judge import Reply, SendMended, judge, judge_failure, may_be_error
from ..traffic.plan import Plan, RelayOptions
from .ruleset import Ruleset

# The pause before a retry, in which a box that refused a connection may begin to listen.
RETRY_PAUSE_SECONDS = 0.2
# A longer error isn't one that is mended.
MAX_ERROR_BYTES = 64 * 1024


class Delivered(Struct, frozen=True):
    """LM Studio's response: its head, and `first`, the beginning of its body, if that was looked at."""

    response: UpstreamResponse
    first: bytes
    box: Box
    options: RelayOptions


async def deliver(planned: Plan, rules: Ruleset, exchange: Exchange) -> Delivered:
    """Return LM Studio's response as soon as its first bytes are received. The caller closes it.

    Raises UpstreamUnavailable, UpstreamSilent, UpstreamBroke, the failure of the client's upload, and the
    error that replaces a response of LM Studio's.
    """
    failures, dialect = 0, planned.relay.dialect
    generates = dialect is not None and dialect.generates
    while True:
        exchange.mended_as(planned.relay.mended)
        box = admit(rules)
        try:
            response = await box.http.send(address(planned, box), silence=planned.silence_seconds)
        except GatewayError as exc:
            failure, failures = cause_of(exc, planned), failures + 1
            if judge_failure(failure, failures) == "fail":
                raise failure from exc
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
            continue
        if not planned.relay.mends:
            return Delivered(response, b"", box, planned.relay)
        try:
            reply = await look(response, generates=generates)
        except BaseException:
            response.close()
            raise
        verdict = judge(reply, planned)
        if verdict == "pass":
            return Delivered(response, reply.body, box, planned.relay)
        response.close()
        if not isinstance(verdict, SendMended):
            exchange.replaced(verdict)
            verdict.headers = planned.relay.fields
            raise verdict
        box.refusals.add(planned.model, verdict.mend)
        planned = planned.with_mend(verdict.mend, verdict.body)


def admit(rules: Ruleset) -> Box:
    """Return the box that the request goes to: also after a reload the one that it began with."""
    return rules.box


def address(planned: Plan, box: Box) -> Outgoing:
    """Return the request for this box, with the box's API token."""
    body = planned.body
    parts = body if body is None or isinstance(body, (bytes, tuple)) else body.chunks()
    return box.http.address(planned.method, planned.target, planned.headers, parts)


async def look(response: UpstreamResponse, *, generates: bool) -> Reply:
    """Read what decides whether a response is relayed. Raises as UpstreamResponse.read().

    That is the first piece of a generation's stream, and all of an error's body. Any other head is relayed at
    once, whether or not its body follows.
    """
    kind, body, length = media_type(response.headers), b"", ""
    is_stream = kind.startswith(EVENT_STREAM)
    if (is_stream or kind.startswith("application/json")) and "Content-Encoding" not in response.headers:
        length = response.headers.get("Content-Length", "")
        body = response.read_ready()
        is_error = generates and not is_stream and response.status >= 400
        if not body and not response.has_ended and generates and is_stream:
            body = await response.read()
        if is_error or (not is_stream and may_be_error(body)):
            while not response.has_ended and len(body) <= MAX_ERROR_BYTES:
                body += await response.read()
    return Reply(
        status=response.status,
        length=int(length) if length.isdecimal() else None,
        body=body,
        is_whole=not is_stream and response.has_ended,
    )


def cause_of(failure: GatewayError, planned: Plan) -> GatewayError:
    """Return the failure of the client's upload if there is one: it looks like a failure of LM Studio."""
    upload = None if isinstance(planned.body, (bytes, tuple)) else planned.body
    return failure if upload is None or upload.failure is None else upload.failure
