"""Answers and errors as OpenAPI responses. Responses that operations share become referenced components."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ...errors import GatewayError
from ...observe.events import Event
from ...schema.common import RequestBody
from ..operations.areas import ApiStyle
from ..operations.error_kinds import BEFORE_ROUTING, EVERYWHERE
from ..operations.operation import EVENT_STREAM, JSON, Answer, Body, Operation
from .errors import HEADER_EXAMPLES, SHAPES, by_status, example, meaning

Json = dict[str, Any]
ANY_TYPE = "*/*"
STUDIO_ANSWER = "StudioAnswer"
_OTHER_STATUS = "Any other status: LM Studio's response, unchanged."
REQUEST_ID_HEADER = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}


def schema_ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


class Responses:
    """Collects the shared components while the operations are described."""

    def __init__(self) -> None:
        self.responses: dict[str, Json] = {
            "studio": {"description": _OTHER_STATUS, "content": {ANY_TYPE: {}}}
        }
        self.examples: dict[str, Json] = {}

    def of(self, operation: Operation, kinds: Iterable[type[GatewayError]]) -> dict[str, Json]:
        """Return an operation's responses by status; `kinds` are the errors that it can end with."""
        described = {status: _answer(one) for status, one in operation.answers.items()}
        for status, errors in by_status(kinds).items():
            name = self.add(errors, operation.styles, passes_on=operation.passes_on)
            if status in described:
                described[status] = _either(described[status], self.responses[name])
            else:
                described[status] = {"$ref": f"#/components/responses/{name}"}
        responses = {str(status): described[status] for status in sorted(described)}
        if operation.passes_on:
            responses["default"] = {"$ref": "#/components/responses/studio"}
        return responses

    def add(
        self, kinds: Sequence[type[GatewayError]], styles: tuple[ApiStyle, ...], *, passes_on: bool = False
    ) -> str:
        """Add the component that describes errors of one status, and return its name."""
        codes = (kind.code for kind in kinds)
        name = ".".join((*styles, *(["studio"] if passes_on else []), str(kinds[0].status), *codes))
        if name not in self.responses:
            self.responses[name] = {
                "description": "\n\n".join(f"`{kind.code}`: {meaning(kind)}" for kind in kinds),
                "headers": {**REQUEST_ID_HEADER, **_error_headers(kinds, are_sure=not passes_on)},
                "content": self._error_content(kinds, styles, passes_on=passes_on),
            }
        return name

    def _error_content(
        self, kinds: Iterable[type[GatewayError]], styles: tuple[ApiStyle, ...], *, passes_on: bool
    ) -> Json:
        schemas: dict[str, Json] = {}
        examples: Json = {}
        for kind in kinds:
            # Before the path is routed, errors have the gateway's own shape.
            for style in dict.fromkeys((*styles, "own") if kind in BEFORE_ROUTING else styles):
                name = f"{style}.{kind.code}"
                self.examples[name] = _example(kind, style)
                examples[name] = {"$ref": f"#/components/examples/{name}"}
                schemas[style] = schema_ref(SHAPES[style].__name__)
        if passes_on:
            schemas["studio"] = schema_ref(STUDIO_ANSWER)
        shapes = list(schemas.values())
        schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
        return {JSON: {"schema": schema, "examples": examples}, **({ANY_TYPE: {}} if passes_on else {})}


def _example(kind: type[GatewayError], style: ApiStyle) -> Json:
    """Return an example with the error's status and code, for the table of errors on /docs."""
    return {
        "summary": meaning(kind),
        "value": example(kind, style),
        "x-status": kind.status,
        "x-code": kind.code,
        "x-everywhere": kind in EVERYWHERE,
    }


def _error_headers(kinds: Sequence[type[GatewayError]], *, are_sure: bool) -> Json:
    return {
        name: {
            "required": are_sure and all(name in kind.header_names for kind in kinds),
            "schema": {"type": "string"},
            "example": HEADER_EXAMPLES[name],
        }
        for name in dict.fromkeys(name for kind in kinds for name in kind.header_names)
    }


def _answer(answer: Answer) -> Json:
    headers = {
        name: {"description": text, "required": True, "schema": {"type": "string"}}
        for name, text in answer.headers.items()
    }
    described: Json = {"description": answer.description, "headers": {**REQUEST_ID_HEADER, **headers}}
    if answer.bodies:
        described["content"] = content_of(answer.bodies)
    return described


def content_of(bodies: Iterable[Body]) -> Json:
    return {body.media_type: _media(body) for body in bodies}


def _media(body: Body) -> Json:
    if body.media_type == ANY_TYPE:
        return {}
    example = msgspec.to_builtins(body.example)
    if isinstance(body.example, RequestBody):  # in which null means absent
        example = {name: value for name, value in example.items() if value is not None}
    return {"schema": _schema(body), "example": example}


def _schema(body: Body) -> Json:
    if body.events:
        # The schema of each event: OpenAPI 3.2 calls it itemSchema, and 3.1 has no better place for it.
        return {"anyOf": [_event(event) for event in body.events]}
    if body.kind is not None:
        return schema_ref(body.kind.__name__)
    return schema_ref(STUDIO_ANSWER) if body.media_type in {JSON, EVENT_STREAM} else {"type": "string"}


def _event(event: type[Event]) -> Json:
    """Return the schema of one event of a stream (HTML standard, section 9.2.6)."""
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": schema_ref(event.__name__)}
    fields = {"event": {"const": event.name}, "id": {"type": "string"}, "data": data}
    return {"type": "object", "title": event.name, "properties": fields, "required": ["event", "data"]}


def _either(first: Json, second: Json) -> Json:
    """Merge two responses of one status. Only headers that both have are required."""
    one, other = (response["content"][JSON] for response in (first, second))
    return {
        "description": f"{first['description']}\n\n{second['description']}",
        "headers": {
            **_optional(first["headers"], second["headers"]),
            **_optional(second["headers"], first["headers"]),
        },
        "content": {
            JSON: {
                "schema": {"anyOf": [one["schema"], other["schema"]]},
                "examples": {"answer": {"value": one["example"]}, **other["examples"]},
            }
        },
    }


def _optional(headers: Mapping[str, Json], others: Mapping[str, Json]) -> Json:
    return {
        name: header if name in others else {**header, "required": False} for name, header in headers.items()
    }
