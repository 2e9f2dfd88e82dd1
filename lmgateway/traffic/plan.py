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
from .rewrite import Body, Choice, Source, fill, may_rename, text_of
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
    context overflow becomes the error of the API. `model` is the model's name; `instance` is the identifier
    that the request's body has instead. `mended` are the mends of the body.
    """

    path: str
    stream_silence_seconds: float | None
    dialect: Dialect | None = None
    hides_usage: bool = False
    mends: bool = False
    model: str | None = None
    instance: str | None = None
    mended: tuple[Mend, ...] = ()

    @property
    def fields(self) -> dict[str, str]:
        """The header fields that the response has of the gateway."""
        return {"X-Mended": ", ".join(self.mended)} if self.mended else {}


class Plan(Struct, frozen=True):
    """A request to LM Studio, without the parts that depend on the box.

    `silence_seconds` limits how long LM Studio may take for each next byte; None is no limit. `known_mends`
    of the body's mends were known to be needed; each other one followed a refusal of this request.
    `ignored` are the members that were left out of the body; `source` is what a long body was made of, if it
    wasn't mended since.
    """

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes | Parts | PassingBody | None
    silence_seconds: float | None
    relay: RelayOptions
    streaming: bool = False
    known_mends: int = 0
    ignored: tuple[str, ...] = ()
    source: Source | None = None

    @property
    def model(self) -> str | None:
        return self.relay.model

    @property
    def unlocated(self) -> LongBody | None:
        """The long body whose `model` must be located before `with_instance`."""
        source = self.source
        return None if source is None or source.body.is_located("model") else source.body

    def with_instance(self, name: str, located: LongBody | None = None) -> Plan:
        """Return the plan for the same request with a body that names this instance.

        A body that names it already stays as it is, and so does one that LM Studio refuses: without a JSON
        object, or with a `model` that is no text. `located` is what was `unlocated`; it stays too if that is
        no object.
        """
        source, body = self.source, self.body
        if located is not None:
            if source is None or located.fields is None:
                return self
            source = source._replace(body=located)
        if source is not None:
            body = _parts_naming(name, source)
        elif isinstance(body, bytes):
            # Also a mended one: it was decoded at once to be mended.
            body = _bytes_naming(name, body)
        relay = structs.replace(self.relay, instance=name)
        return structs.replace(self, body=body, relay=relay, source=source)

    def with_mend(self, mend: Mend, body: bytes, *, is_known: bool = False) -> Plan:
        """Return the plan for the same request with this mend, and the body that it has then."""
        relay = structs.replace(self.relay, mended=(*self.relay.mended, mend))
        known = self.known_mends + is_known
        return structs.replace(self, body=body, relay=relay, known_mends=known, source=None)


def _parts_naming(name: str, source: Source) -> Parts:
    body, added, without = source
    model = (body.fields or {}).get("model")
    if "model" in added or (may_rename(model) and text_of(model) != name):
        added = {**added, "model": name}
    return body.with_members(added, without=without)


def _bytes_naming(name: str, text: bytes) -> bytes:
    body = ShortBody.decoded(text)
    model = (body.fields or {}).get("model")
    return text if not may_rename(model) or text_of(model) == name else body.with_members({"model": name})


def left_out(dialect: Dialect, config: Config) -> str | None:
    """Return the member that a request must not have: it would load the model anew under all others."""
    return dialect.reloads if dialect.reloads is not None and config.keeps_models else None


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
    without = left_out(dialect, config)
    filled = fill(body, dialect, choice, account_streams=limits.account_streams, without=without)
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
        ignored=filled.ignored,
        source=filled.source,
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
