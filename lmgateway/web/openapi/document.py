"""The OpenAPI document, rendered from the table of operations and their Structs.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ... import __version__
from ...errors import MethodNotAllowed, Unauthorized
from ...schema.keys import SCOPES
from ...traffic.dialects import DIALECTS
from ..operations.error_kinds import EVERYWHERE
from ..operations.examples import REQUEST_ID
from ..operations.operation import JSON, Operation, Parameter
from .responses import Json, Responses, content_of
from .schemas import schemas

# Plain paragraphs and code in backticks, which is all that /docs renders.
_ABOUT = """\
A gateway in front of LM Studio, for a whole household or office.

The paths of the APIs of OpenAI, Anthropic and LM Studio are forwarded to LM Studio, and its responses are \
returned unchanged. All other paths are the gateway's own.

A model on disk is named by its model key, such as `qwen2.5-7b-instruct`. In memory it is an instance, named \
by an identifier; a model may have several. The active model answers requests that name none. An instance \
has slots, one for each request that runs on it; a request that finds none free waits in line.

Every response has an `X-Request-Id`, by which the request is found in the gateway's log. A client may \
send its own. Where GET is listed, HEAD works too.

An error says in a sentence what to do about it. Its JSON has the shape of the API that the path belongs \
to."""
_KEYED = (
    "This gateway requires a key, as `Authorization: Bearer` or as `X-API-Key`. A key has scopes, which "
    "say what it opens; each operation names the one that it needs."
)
_KEYLESS = "This gateway requires no key."
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The gateway's key."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": (
            "The gateway's key. It takes precedence over `Authorization`, which is then forwarded to LM "
            "Studio."
        ),
    },
}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "The client's own id for the request: up to 128 letters, digits and `._:-`.",
    "schema": {"type": "string"},
    "example": REQUEST_ID,
}
_REQUEST_ID_REF = {"$ref": "#/components/parameters/X-Request-Id"}
_REQUEST_ID_HEADER = {
    "description": "The request's id, which the gateway's log has too.",
    "required": True,
    "schema": {"type": "string"},
    "example": REQUEST_ID,
}


def build(operations: Sequence[Operation], *, key_needed: bool, health_is_open: bool) -> bytes:
    """Return the document as JSON, for a gateway with this configuration."""
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
    if operation.changes_the_gateway:
        described["x-changes"] = True  # /docs asks before it sends such a request
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
    sentences = [operation.description] if operation.description else []
    dialect = DIALECTS.get(operation.path)
    if dialect is not None:
        kind = "embedding model" if dialect.model_type == "embedding" else "model"
        sentences.append(f"The active {kind} answers if `model` is left out, `null` or empty.")
        if dialect.parameters:
            names = ", ".join(f"`{name}`" for name in dialect.parameters.values())
            sentences.append(
                f"These parameters get their default, if there is one, where they are left out: {names}."
            )
    return " ".join(sentences)


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
