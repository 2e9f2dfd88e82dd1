"""An operation: one method of one path, the scope it needs, what it takes and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aiohttp.typedefs import Handler
from msgspec import Struct

from ...errors import GatewayError
from ...observe.events import Event
from .areas import Area

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


class Parameter(Struct, frozen=True, kw_only=True):
    """Every one is text. `listed` are the values of which it is a comma-separated list."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    example: str
    listed: tuple[str, ...] = ()


class Body(Struct, frozen=True, kw_only=True):
    """What is sent in either direction.

    `kind` is the Struct that it is, None if the gateway doesn't look into it; `events` are those of a stream.
    """

    example: object
    kind: type[Struct] | None = None
    media_type: str = JSON
    events: tuple[type[Event], ...] = ()


class Answer(Struct, frozen=True, kw_only=True):
    """An answer that is no error of the gateway's. `headers` tells of header fields by name."""

    description: str
    bodies: tuple[Body, ...] = ()
    headers: Mapping[str, str] = {}


class Route(Area, frozen=True):
    """An area of one method of one path, which is aiohttp's template."""

    method: str
    path: str
    handler: Handler


class Operation(Route, frozen=True, kw_only=True):
    """`raises` are the errors beside those that any request may get.

    `passes_on`: LM Studio answers, and what it says is passed on.
    """

    tag: str
    summary: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    answers: Mapping[int, Answer]
    raises: tuple[type[GatewayError], ...] = ()
    passes_on: bool = False


def json_of(example: Struct) -> Body:
    """Return JSON of this example's kind."""
    return Body(kind=type(example), example=example)


def answer(description: str, *bodies: Struct | Body, **headers: str) -> Answer:
    """Return an answer with bodies, or examples of its JSON; `X_Y="…"` tells of the header X-Y."""
    return Answer(
        description=description,
        bodies=tuple(body if isinstance(body, Body) else json_of(body) for body in bodies),
        headers={name.replace("_", "-"): text for name, text in headers.items()},
    )
