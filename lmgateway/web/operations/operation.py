"""An operation: a method of a path, with its scope, parameters, body, responses and errors."""

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
    """A parameter, which is a string. With `listed`, it is a comma-separated list of these values."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    example: str
    listed: tuple[str, ...] = ()


class Body(Struct, frozen=True, kw_only=True):
    """The body of a request or response.

    `kind` is the Struct of its JSON, None if the gateway doesn't parse it; `events` are those of a stream.
    """

    example: object
    kind: type[Struct] | None = None
    media_type: str = JSON
    events: tuple[type[Event], ...] = ()


class Answer(Struct, frozen=True, kw_only=True):
    """A response other than the gateway's own errors. `headers` are descriptions by header name."""

    description: str
    bodies: tuple[Body, ...] = ()
    headers: Mapping[str, str] = {}


class Route(Area, frozen=True):
    """The area of a method and a path; `path` is aiohttp's template."""

    method: str
    path: str
    handler: Handler


class Operation(Route, frozen=True, kw_only=True):
    """`raises` are the errors in addition to those that any operation may raise.

    `passes_on` is true if LM Studio's response is forwarded.
    """

    tag: str
    summary: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    answers: Mapping[int, Answer]
    raises: tuple[type[GatewayError], ...] = ()
    passes_on: bool = False

    @property
    def changes_the_gateway(self) -> bool:
        """True if others notice it too, so that a person who tries it out is asked first."""
        return self.method in {"PUT", "PATCH", "DELETE"} or (
            self.method == "POST" and self.scope in {"models", "admin"}
        )


def json_of(example: Struct) -> Body:
    """Return a JSON body with this example and its Struct."""
    return Body(kind=type(example), example=example)


def answer(description: str, *bodies: Struct | Body, **headers: str) -> Answer:
    """Return an Answer with bodies, or examples of its JSON; `X_Y="…"` describes the header X-Y."""
    return Answer(
        description=description,
        bodies=tuple(body if isinstance(body, Body) else json_of(body) for body in bodies),
        headers={name.replace("_", "-"): text for name, text in headers.items()},
    )
