"""Makes the operations that are forwarded to LM Studio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from ...traffic.target import SHORT_PATHS
from ..proxy import proxy
from .areas import studio_area
from .error_kinds import OF_PROXIED
from .operation import EVENT_STREAM, Body, Operation, Parameter, answer, json_of

SHORT = "Short paths"
# All methods of OpenAPI except TRACE, which isn't forwarded.
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
ANYTHING = Body(media_type="*/*", example="…")


def get(
    path: str, summary: str, holds: str, example: object, *parameters: Parameter, **more: Any
) -> Operation:
    return operation("GET", path, summary, holds, Body(example=example), parameters=parameters, **more)


def post(
    path: str, summary: str, holds: str, body: Struct, example: object, stream: str = "", **more: Any
) -> Operation:
    """Return an operation with an example of its response, and of its stream if it can stream.

    `holds` is what the response has, after "LM Studio's response".
    """
    answers = [Body(example=example)]
    if stream:
        answers.append(Body(media_type=EVENT_STREAM, example=stream))
    return operation("POST", path, summary, holds, *answers, body=json_of(body), **more)


def operation(
    method: str,
    path: str,
    summary: str,
    holds: str,
    *answers: Body,
    **more: Any,
) -> Operation:
    area = studio_area(path)
    return Operation(
        method,
        path,
        proxy,
        scope=area.scope,
        styles=area.styles,
        summary=summary,
        answers={200: answer(f"LM Studio's response{holds}.", *answers)},
        raises=OF_PROXIED,
        passes_on=True,
        **more,
    )


def everything(prefix: str, tag: str) -> Iterator[Operation]:
    """Yield the operations of all other paths below a prefix."""
    path = Parameter(
        name="path",
        place="path",
        description="The rest of the path. It may contain slashes.",
        example="files",
    )
    for method in METHODS:
        yield operation(
            method,
            f"{prefix}/{{path}}",
            "Forward any other request to LM Studio",
            "",
            ANYTHING,
            tag=tag,
            description=(
                "For paths that aren't listed here. LM Studio gets the path, the query and the body "
                "unchanged, and its response is returned unchanged. Of a doubled slash in the path, one is "
                "removed."
            ),
            parameters=(path,),
            body=None if method in {"GET", "HEAD", "OPTIONS"} else ANYTHING,
        )


def short(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Yield the operations that also have a path without /v1, under that path."""
    for one in operations:
        path = one.path.removeprefix("/v1")
        if path.startswith(SHORT_PATHS):
            same = f"The same as `{one.path}`."
            yield msgspec.structs.replace(one, path=path, summary=same, tag=SHORT)
