"""Plans the request to LM Studio, before a box is chosen. Pure functions."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Protocol, cast

from msgspec import Struct
from multidict import CIMultiDict

from ..config import Proxy, seconds
from ..errors import GatewayError
from ..schema.models import ActiveModels, DefaultInference
from .long_body import LongBody, Parts
from .rewrite import Dialect, fill
from .target import Target


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
    body: bytes | LongBody | PassingBody | None


class RelayOptions(Struct, frozen=True, gc=False):
    """How LM Studio's response is relayed.

    `stream_silence_seconds` limits how long an event stream may be silent; None is no limit. `hides_usage`:
    the client didn't request the stream's usage. `stream_end` matches the end of a complete stream.
    """

    stream_silence_seconds: float | None
    counts_tokens: bool = False
    hides_usage: bool = False
    stream_end: re.Pattern[bytes] | None = None


class Plan(Struct, frozen=True):
    """A request to LM Studio, without the parts that depend on the box.

    `silence_seconds` limits how long LM Studio may take for each next byte; None is no limit.
    """

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes | Parts | PassingBody | None
    silence_seconds: float | None
    relay: RelayOptions
    model: str | None = None
    streaming: bool = False


def plan(
    incoming: Incoming, active: ActiveModels, profiles: Mapping[str, DefaultInference], config: Proxy
) -> Plan:
    """Return the request to send, with the active model and default parameters where they are missing.

    `profiles` holds the default parameters of models by model key.
    """
    silence, stream_silence = seconds(config.timeout_ms), seconds(config.stream_timeout_ms)
    dialect, body, headers = incoming.dialect, incoming.body, incoming.headers
    if dialect is None or not isinstance(body, (bytes, LongBody)):
        body = cast("PassingBody | None", body)
        options = RelayOptions(stream_silence)
        return Plan(incoming.method, incoming.target.raw, headers, body, silence, options)
    if "Accept-Encoding" in headers:
        headers["Accept-Encoding"] = "identity"  # tokens can't be counted in a compressed response
    active_model = active.of(dialect.model_type)
    filled = fill(body, dialect, active_model, profiles, account_streams=config.account_streams)
    return Plan(
        incoming.method,
        incoming.target.raw,
        headers,
        filled.body,
        stream_silence if filled.streaming else silence,
        RelayOptions(
            stream_silence,
            counts_tokens=True,
            hides_usage=filled.asks_usage,
            stream_end=dialect.stream_end,
        ),
        filled.model,
        filled.streaming,
    )
