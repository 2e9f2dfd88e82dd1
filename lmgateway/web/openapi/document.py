"""The OpenAPI 3.1 document, made from the table of operations and the Structs that they name.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ... import __version__
from ...access.callers import SCOPES
from ...errors import MethodNotAllowed, Unauthorized
from ...traffic.rewrite import DIALECTS
from ..operations.error_kinds import EVERYWHERE
from ..operations.examples import REQUEST_ID
from ..operations.operation import JSON, Operation, Parameter
from .responses import Json, Responses, content_of
from .schemas import schemas

# Paragraphs and code; the page knows no other marks.
_ABOUT = """\
One process in front of LM Studio, for a whole household or office.

Whatever is sent to `/v1`, `/api/v0` and `/api/v1` reaches LM Studio, by any method, and its answer comes \
back as it is. Where a body names no model, the active one is filled in, and with it the parameters that the \
body leaves out.

Every answer has an `X-Request-Id`, which is in the gateway's log too; a sane one that a client sends is \
kept. Where GET is told here, HEAD is answered alike, without the body. Any other method is answered with \
405 on the gateway's own paths.

An error says in a sentence what to do about it, in the shape that the path's clients read."""
_KEYED = "The gateway's key comes as `Authorization: Bearer` or as `X-API-Key`; both open everything."
_KEYLESS = "This gateway has no key at present, so none is needed."
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The gateway's key."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": (
            "The gateway's key. Where it is present it decides; an `Authorization` beside it is passed on to "
            "LM Studio."
        ),
    },
}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "The request's id, if the client has one: letters, digits and `._:-`, up to 128 of them.",
    "schema": {"type": "string"},
    "example": REQUEST_ID,
}
_REQUEST_ID_REF = {"$ref": "#/components/parameters/X-Request-Id"}
_REQUEST_ID_HEADER = {
    "description": "The request's id, as the gateway's log has it.",
    "required": True,
    "schema": {"type": "string"},
    "example": REQUEST_ID,
}


def build(operations: Sequence[Operation], *, key_needed: bool, health_is_open: bool) -> bytes:
    """Return the document as JSON, for a gateway that is configured so."""
    responses = Responses()
    paths: dict[str, Json] = {}
    for operation in operations:
        is_open = operation.is_open(health_is_open=health_is_open)
        item = paths.setdefault(template(operation), {"parameters": [_REQUEST_ID_REF]})
        described = _operation(operation, responses, needs_key=key_needed and not is_open)
        item[operation.method.lower()] = described
    responses.add([MethodNotAllowed], ("own",))
    document = {
        "openapi": "3.1.1",
        "info": {
            "title": "lmgateway",
            "version": __version__,
            "description": f"{_ABOUT}\n\n{_KEYED if key_needed else _KEYLESS}",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SCHEMES] if key_needed else [],
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas(operations),
            "responses": responses.responses,
            "examples": responses.examples,
            "parameters": {"X-Request-Id": _REQUEST_ID},
            "headers": {"X-Request-Id": _REQUEST_ID_HEADER},
            "securitySchemes": _SCHEMES,
        },
    }
    return msgspec.json.encode(document)


def template(operation: Operation) -> str:
    """Return the path as OpenAPI writes it: `/files/{name}` for aiohttp's `/files/{name:.+}`."""
    return re.sub(r"{(\w+):[^}]*}", r"{\1}", operation.path)


def _operation(operation: Operation, responses: Responses, *, needs_key: bool) -> Json:
    kinds = {*EVERYWHERE, *operation.raises}
    if not needs_key:
        kinds.discard(Unauthorized)
    described: Json = {
        "operationId": _id(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _description(operation),
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": responses.of(operation, kinds),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body.media_type == JSON,
            "content": content_of([operation.body]),
        }
    if not needs_key:
        described["security"] = []
    elif operation.scope in SCOPES:
        described["security"] = [{name: [operation.scope]} for name in _SCHEMES]
    return described


def _id(operation: Operation) -> str:
    words = re.findall(r"[A-Za-z0-9]+", template(operation)) or ["root"]
    if operation.path.endswith("/") and operation.path != "/":
        words.append("slash")
    return operation.method.lower() + "".join(word[0].upper() + word[1:] for word in words)


def _description(operation: Operation) -> str:
    told = [operation.description] if operation.description else []
    dialect = DIALECTS.get(operation.path)
    if dialect is not None:
        kind = "embedding model" if dialect.model_type == "embedding" else "model"
        told.append(f"Without a `model`, or with `null` or an empty one, the active {kind} answers.")
        if dialect.parameters:
            names = ", ".join(f"`{name}`" for name in dialect.parameters.values())
            told.append(f"Its default parameters fill in what is left out of these: {names}.")
    return " ".join(told)


def _parameter(parameter: Parameter) -> Json:
    described: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.place == "path",
        "schema": {"type": "string"},
        "example": parameter.example,
    }
    if parameter.listed:
        described["schema"] = {"type": "array", "items": {"enum": list(parameter.listed)}}
        described["style"], described["explode"] = "form", False
        described["example"] = parameter.example.split(",")
    return described
