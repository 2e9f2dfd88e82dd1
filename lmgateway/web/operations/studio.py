"""LM Studio's operations. They are documented one by one; the proxy routes whole prefixes."""

from __future__ import annotations

from typing import Any

from . import studio_examples as examples
from .counting import COUNT_TOKENS
from .forwarded import ANYTHING, everything, get, operation, post, short
from .native_models import CHANGES, NATIVE_MODEL_OPERATIONS, TAG
from .operation import Parameter

OPENAI, ANTHROPIC, NATIVE = "OpenAI's API", COUNT_TOKENS.tag, TAG
_TURN = ": the model's answer, whole or as a stream"
_TEXT = ": the text that follows the prompt, whole or as a stream"
_VECTORS = ": a vector for each text"
_MODELS = ": the models that the key may use"
# Paths of both OpenAI's and Anthropic's API; the header `anthropic-version` identifies Anthropic's clients.
_SHARED: dict[str, Any] = {
    "description": "With the header `anthropic-version`, errors have the shape of Anthropic's API.",
}


def _model(example: str = examples.MODEL) -> Parameter:
    return Parameter(
        name="model", place="path", description="The model's id, which may contain slashes.", example=example
    )


_OPENAI = (
    post(
        "/v1/chat/completions",
        "Complete a conversation",
        _TURN,
        examples.CHAT,
        examples.CHAT_ANSWER,
        examples.CHAT_STREAM,
        tag=OPENAI,
    ),
    post(
        "/v1/responses",
        "Create a response (the newer API)",
        _TURN,
        examples.RESPONSE,
        examples.RESPONSE_ANSWER,
        examples.RESPONSE_STREAM,
        tag=OPENAI,
    ),
    post(
        "/v1/completions",
        "Complete a text",
        _TEXT,
        examples.COMPLETION,
        examples.COMPLETION_ANSWER,
        examples.COMPLETION_STREAM,
        tag=OPENAI,
    ),
    post(
        "/v1/embeddings",
        "Embed texts as vectors",
        _VECTORS,
        examples.EMBEDDING,
        examples.EMBEDDING_ANSWER,
        tag=OPENAI,
    ),
    get("/v1/models", "List the models", _MODELS, examples.MODEL_LIST, tag=OPENAI, **_SHARED),
    get(
        "/v1/models/{model}",
        "Get a model",
        ": the model",
        examples.MODEL_ENTRY,
        _model(),
        tag=OPENAI,
        **_SHARED,
    ),
    *(
        operation("POST", path, summary, holds, ANYTHING, tag=OPENAI, body=ANYTHING)
        for path, summary, holds in (
            ("/v1/images/generations", "Generate an image, if LM Studio supports it", ": the image"),
            ("/v1/audio/transcriptions", "Transcribe speech, if LM Studio supports it", ": the text"),
            (
                "/v1/audio/translations",
                "Translate speech into English, if LM Studio supports it",
                ": the text",
            ),
        )
    ),
)
_ANTHROPIC = (
    post(
        "/v1/messages",
        "Complete a conversation",
        _TURN,
        examples.MESSAGE,
        examples.MESSAGE_ANSWER,
        examples.MESSAGE_STREAM,
        tag=ANTHROPIC,
    ),
    COUNT_TOKENS,
)
_NATIVE = (
    post(
        "/api/v1/chat",
        "Complete a conversation",
        _TURN,
        examples.NATIVE_CHAT,
        examples.NATIVE_CHAT_ANSWER,
        examples.NATIVE_CHAT_STREAM,
        tag=NATIVE,
    ),
    get("/api/v1/models", "List the models", _MODELS, examples.V1_MODEL_LIST, tag=NATIVE),
    *NATIVE_MODEL_OPERATIONS,
    post(
        "/api/v1/models/download",
        "Download a model",
        ": the download's `job_id` and state",
        examples.NATIVE_DOWNLOAD,
        examples.NATIVE_DOWNLOADING,
        tag=NATIVE,
        description=CHANGES,
    ),
    get(
        "/api/v1/models/download/status/{job_id}",
        "Get a download's progress",
        ": the download's state, and how much has arrived",
        examples.NATIVE_DOWNLOADING,
        Parameter(name="job_id", place="path", description="The download's `job_id`.", example="job_1f8a"),
        tag=NATIVE,
        description=CHANGES,
    ),
    post(
        "/api/v0/chat/completions",
        "Complete a conversation, with statistics",
        f"{_TURN}; `stats` has the speed",
        examples.CHAT,
        examples.NATIVE_V0_CHAT_ANSWER,
        examples.CHAT_STREAM,
        tag=NATIVE,
    ),
    post(
        "/api/v0/completions",
        "Complete a text, with statistics",
        f"{_TEXT}; `stats` has the speed",
        examples.COMPLETION,
        examples.NATIVE_V0_COMPLETION_ANSWER,
        examples.COMPLETION_STREAM,
        tag=NATIVE,
    ),
    post(
        "/api/v0/embeddings",
        "Embed texts as vectors",
        _VECTORS,
        examples.EMBEDDING,
        examples.EMBEDDING_ANSWER,
        tag=NATIVE,
    ),
    get(
        "/api/v0/models",
        "List the models and their capabilities",
        _MODELS,
        examples.V0_MODEL_LIST,
        tag=NATIVE,
    ),
    get(
        "/api/v0/models/{model}", "Get a model", ": the model", examples.V0_MODEL_ENTRY, _model(), tag=NATIVE
    ),
)


STUDIO_OPERATIONS = (
    *_OPENAI,
    *everything("/v1", OPENAI),
    *_ANTHROPIC,
    *_NATIVE,
    *everything("/api/v1", NATIVE),
    *everything("/api/v0", NATIVE),
    *short((*_OPENAI, *_ANTHROPIC)),
)
