"""LM Studio's operations. They are documented one by one; the proxy routes whole prefixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from ...traffic.target import SHORT_PATHS
from ..proxy import proxy
from . import studio_examples as examples
from .areas import studio_area
from .counting import COUNT_TOKENS
from .error_kinds import OF_PROXIED
from .native_models import CHANGES, NATIVE_MODEL_OPERATIONS, TAG
from .operation import EVENT_STREAM, Body, Operation, Parameter, answer, json_of

OPENAI, ANTHROPIC, NATIVE = "OpenAI's API", COUNT_TOKENS.tag, TAG
SHORT = "Short paths"
# All methods of OpenAPI except TRACE, which isn't forwarded.
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_ANYTHING = Body(media_type="*/*", example="…")
# Paths of both OpenAI's and Anthropic's API; the header `anthropic-version` identifies Anthropic's clients.
_SHARED: dict[str, Any] = {
    "description": "Errors have Anthropic's shape if the request has the header `anthropic-version`.",
}


def _get(path: str, summary: str, example: object, *parameters: Parameter, **more: Any) -> Operation:
    return _operation("GET", path, summary, Body(example=example), parameters=parameters, **more)


def _post(path: str, summary: str, body: Struct, example: object, stream: str = "", **more: Any) -> Operation:
    """Return an operation with an example of its response, and of its stream if it can stream."""
    answers = [Body(example=example)]
    if stream:
        answers.append(Body(media_type=EVENT_STREAM, example=stream))
    return _operation("POST", path, summary, *answers, body=json_of(body), **more)


def _operation(
    method: str,
    path: str,
    summary: str,
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
        answers={200: answer("LM Studio's response, unchanged.", *answers)},
        raises=OF_PROXIED,
        passes_on=True,
        **more,
    )


def _model(example: str = examples.MODEL) -> Parameter:
    return Parameter(
        name="model", place="path", description="The model's id, which may contain slashes.", example=example
    )


_OPENAI = (
    _post(
        "/v1/chat/completions",
        "Complete a conversation",
        examples.CHAT,
        examples.CHAT_ANSWER,
        examples.CHAT_STREAM,
        tag=OPENAI,
    ),
    _post(
        "/v1/responses",
        "Create a response (the newer API)",
        examples.RESPONSE,
        examples.RESPONSE_ANSWER,
        examples.RESPONSE_STREAM,
        tag=OPENAI,
    ),
    _post(
        "/v1/completions",
        "Complete a text",
        examples.COMPLETION,
        examples.COMPLETION_ANSWER,
        examples.COMPLETION_STREAM,
        tag=OPENAI,
    ),
    _post(
        "/v1/embeddings", "Embed texts as vectors", examples.EMBEDDING, examples.EMBEDDING_ANSWER, tag=OPENAI
    ),
    _get("/v1/models", "List the models", examples.MODEL_LIST, tag=OPENAI, **_SHARED),
    _get("/v1/models/{model}", "Get a model", examples.MODEL_ENTRY, _model(), tag=OPENAI, **_SHARED),
    *(
        _operation("POST", path, summary, _ANYTHING, tag=OPENAI, body=_ANYTHING)
        for path, summary in (
            ("/v1/images/generations", "Generate an image, if LM Studio supports it"),
            ("/v1/audio/transcriptions", "Transcribe speech, if LM Studio supports it"),
            ("/v1/audio/translations", "Translate speech into English, if LM Studio supports it"),
        )
    ),
)
_ANTHROPIC = (
    _post(
        "/v1/messages",
        "Complete a conversation",
        examples.MESSAGE,
        examples.MESSAGE_ANSWER,
        examples.MESSAGE_STREAM,
        tag=ANTHROPIC,
    ),
    COUNT_TOKENS,
)
_NATIVE = (
    _post(
        "/api/v1/chat",
        "Complete a conversation",
        examples.NATIVE_CHAT,
        examples.NATIVE_CHAT_ANSWER,
        examples.NATIVE_CHAT_STREAM,
        tag=NATIVE,
    ),
    _get("/api/v1/models", "List the models", examples.V1_MODEL_LIST, tag=NATIVE),
    *NATIVE_MODEL_OPERATIONS,
    _post(
        "/api/v1/models/download",
        "Download a model",
        examples.NATIVE_DOWNLOAD,
        examples.NATIVE_DOWNLOADING,
        tag=NATIVE,
        description=CHANGES,
    ),
    _get(
        "/api/v1/models/download/status/{job_id}",
        "Get a download's progress",
        examples.NATIVE_DOWNLOADING,
        Parameter(name="job_id", place="path", description="The download's `job_id`.", example="job_1f8a"),
        tag=NATIVE,
        description=CHANGES,
    ),
    _post(
        "/api/v0/chat/completions",
        "Complete a conversation, with statistics",
        examples.CHAT,
        examples.NATIVE_V0_CHAT_ANSWER,
        examples.CHAT_STREAM,
        tag=NATIVE,
    ),
    _post(
        "/api/v0/completions",
        "Complete a text, with statistics",
        examples.COMPLETION,
        examples.NATIVE_V0_COMPLETION_ANSWER,
        examples.COMPLETION_STREAM,
        tag=NATIVE,
    ),
    _post(
        "/api/v0/embeddings",
        "Embed texts as vectors",
        examples.EMBEDDING,
        examples.EMBEDDING_ANSWER,
        tag=NATIVE,
    ),
    _get("/api/v0/models", "List the models and their capabilities", examples.V0_MODEL_LIST, tag=NATIVE),
    _get("/api/v0/models/{model}", "Get a model", examples.V0_MODEL_ENTRY, _model(), tag=NATIVE),
)


def _everything(prefix: str, tag: str) -> Iterator[Operation]:
    """Yield the operations of all other paths below a prefix."""
    path = Parameter(name="path", place="path", description="Any path, even with slashes.", example="files")
    for method in METHODS:
        yield _operation(
            method,
            f"{prefix}/{{path}}",
            "Forward any other request",
            _ANYTHING,
            tag=tag,
            description="Path, query and body are forwarded byte for byte, and so is LM Studio's response. "
            "A doubled slash in the path counts once.",
            parameters=(path,),
            body=None if method in {"GET", "HEAD", "OPTIONS"} else _ANYTHING,
        )


def _short(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Yield the operations that also have a path without /v1, under that path."""
    for operation in operations:
        path = operation.path.removeprefix("/v1")
        if path.startswith(SHORT_PATHS):
            same = f"The same as `{operation.path}`."
            yield msgspec.structs.replace(operation, path=path, summary=same, tag=SHORT)


STUDIO_OPERATIONS = (
    *_OPENAI,
    *_everything("/v1", OPENAI),
    *_ANTHROPIC,
    *_NATIVE,
    *_everything("/api/v1", NATIVE),
    *_everything("/api/v0", NATIVE),
    *_short((*_OPENAI, *_ANTHROPIC)),
)
