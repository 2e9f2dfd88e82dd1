"""The routes of the HTTP APIs."""

from aiohttp import web

from . import (
    anthropic_messages,
    fallback,
    listing,
    native_v0,
    native_v1_chat,
    native_v1_models,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)


def add_routes(router: web.UrlDispatcher) -> None:
    """Model names may contain slashes. The last route matches all other paths, with any method."""
    for method, path, handler in (
        ("GET", "/lmstudio-greeting", fallback.greeting),
        ("GET", "/simulator/ledger", fallback.ledger),
        ("GET", "/v1/models", listing.openai_models),
        ("GET", "/v1/models/{model:.+}", listing.openai_model),
        ("POST", "/v1/chat/completions", openai_chat.chat_completions),
        ("POST", "/v1/completions", openai_completions.completions),
        ("POST", "/v1/embeddings", openai_embeddings.embeddings),
        ("POST", "/v1/responses", openai_responses.responses),
        ("POST", "/v1/messages", anthropic_messages.messages),
        ("GET", "/api/v0/models", listing.v0_models),
        ("GET", "/api/v0/models/{model:.+}", listing.v0_model),
        ("POST", "/api/v0/chat/completions", native_v0.chat_completions),
        ("POST", "/api/v0/completions", native_v0.completions),
        ("POST", "/api/v0/embeddings", native_v0.embeddings),
        ("GET", "/api/v1/models", listing.v1_models),
        ("POST", "/api/v1/chat", native_v1_chat.chat),
        ("POST", "/api/v1/models/load", native_v1_models.load),
        ("POST", "/api/v1/models/unload", native_v1_models.unload),
        ("POST", "/api/v1/models/download", native_v1_models.download),
        ("GET", "/api/v1/models/download/status/{job_id}", native_v1_models.download_status),
        ("*", "/{unexpected:.*}", fallback.unexpected),
    ):
        router.add_route(method, path, handler)
