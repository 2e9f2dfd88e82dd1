"""Plans the request to LM Studio, before a box is chosen. Pure functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, cast

from msgspec import Struct, structs
from multidict import CIMultiDict

from ..config import Config, seconds
from ..errors import GatewayError
from ..schema.common import Mend
from .dialects import Dialect
from .long_body import LongBody, Parts
from .mend_requests import MEND_BYTES, mended
from .rewrite import Body, Choice, fill
from .short_body import ShortBody
from .target import Target

KnownRefusals = Callable[[str | None], tuple[Mend, ...]]
"""The mends that a model's requests are known to need."""


class PassingBody(Protocol):
    """A body that is streamed through without being parsed. `failure` is set if the client broke it off."""

    failure: GatewayError | None

    def chunks(self) -> AsyncIterator[bytes]: ...


class Incoming(Struct, frozen=True):
    """A client's request. `headers` holds only the fields that are forwarded.

    `dialect` is None if nothing is filled in and no tokens are counted; the body is then streamed through.
    """

    method: str
    target: Target
    headers: CIMultiDict[str]
    dialect: Dialect | None
    body: Body | PassingBody | None


class RelayOptions(Struct, frozen=True, gc=False):
    """How LM Studio's response is relayed.

    `dialect` is None if its tokens aren't counted. `stream_silence_seconds` limits how long an event stream
    may be silent; None is no limit. `hides_usage`: the client didn't request the stream's usage. `mends`: a
    context overflow becomes the error of the API. `mended` are the mends of the request's body.
    """

    path: str
    stream_silence_seconds: float | None
    dialect: Dialect | None = None
    hides_usage: bool = False
    mends: bool = False
    model: str | None = None
    mended: tuple[Mend, ...] = ()

    @property
    def fields(self) -> dict[str, str]:
        """The header fields that the response has of the gateway."""
        return {"X-Mended": ", ".join(self.mended)} if self.mended else {}


class Plan(Struct, frozen=True):
    """A request to LM Studio, without the parts that depend on the box.

    `silence_seconds` limits how long LM Studio may take for each next byte; None is no limit. `known_mends`
    of the body's mends were known to be needed; each other one followed a refusal of this request.
    """

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes | Parts | PassingBody | None
    silence_seconds: float | None
    relay: RelayOptions
    streaming: bool = False
    known_mends: int = 0

    @property
    def model(self) -> str | None:
        return self.relay.model

    def with_mend(self, mend: Mend, body: bytes, *, is_known: bool = False) -> Plan:
        """Return the plan for the same request with this mend, and the body that it has then."""
        relay = structs.replace(self.relay, mended=(*self.relay.mended, mend))
        return structs.replace(self, body=body, relay=relay, known_mends=self.known_mends + is_known)


def plan(incoming: Incoming, choice: Choice, config: Config, known_refusals: KnownRefusals) -> Plan:
    """Return the request to send, with the chosen model and default parameters where they are missing."""
    limits, mends, path = config.proxy, config.compat.mend, incoming.target.path
    silence, stream_silence = seconds(limits.timeout_ms), seconds(limits.stream_timeout_ms)
    dialect, body, headers = incoming.dialect, incoming.body, incoming.headers
    if dialect is None or not isinstance(body, (ShortBody, LongBody)):
        body = cast("PassingBody | None", body)
        options = RelayOptions(path, stream_silence, mends=mends)
        return Plan(incoming.method, incoming.target.raw, headers, body, silence, options)
    if "Accept-Encoding" in headers:
        headers["Accept-Encoding"] = "identity"  # tokens can't be counted in a compressed response
    filled = fill(body, dialect, choice, account_streams=limits.account_streams)
    planned = Plan(
        incoming.method,
        incoming.target.raw,
        headers,
        filled.body,
        stream_silence if filled.streaming else silence,
        RelayOptions(
            path,
            stream_silence,
            dialect,
            hides_usage=filled.asks_usage,
            mends=mends,
            model=choice.model,
        ),
        filled.streaming,
    )
    for mend in known_refusals(choice.model) if mends else ():
        if (better := mended_body(planned, mend)) is not None:
            planned = planned.with_mend(mend, better, is_known=True)
    return planned


def mended_body(planned: Plan, mend: Mend) -> bytes | None:
    """Return the request's body with this mend; None if nothing in it is to be mended, or it is too long."""
    body = planned.body
    if isinstance(body, tuple):
        body = b"".join(body) if sum(map(len, body)) <= MEND_BYTES else None
    return mended(mend, planned.relay.path, body) if isinstance(body, bytes) else None
