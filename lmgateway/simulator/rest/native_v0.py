"""`/api/v0`: OpenAI's requests; answers that aren't streamed have LM Studio's statistics in addition."""

from aiohttp import web

from ..engine.generation import Generation
from .bodies import Json
from .openai_chat import answer_chat
from .openai_completions import answer_completion
from .openai_embeddings import answer_embeddings


async def chat_completions(request: web.Request) -> web.StreamResponse:
    return await answer_chat(request, "v0/chat/completions", _figures)


async def completions(request: web.Request) -> web.StreamResponse:
    return await answer_completion(request, "v0/completions", _figures)


async def embeddings(request: web.Request) -> web.StreamResponse:
    return await answer_embeddings(request, "v0/embeddings")


def _figures(generation: Generation) -> Json:
    """Times are in seconds."""
    instance = generation.instance
    quantization = instance.model.quantization
    return {
        "stats": {
            "tokens_per_second": generation.tokens_per_second,
            "time_to_first_token": generation.seconds_to_first_token,
            "generation_time": generation.seconds_generating,
            "stop_reason": generation.stop_reason,
        },
        "model_info": {
            "arch": instance.model.architecture,
            "quant": None if quantization is None else quantization.name,
            "format": instance.model.http_format,
            "context_length": instance.context_length,
        },
        "runtime": {"name": "simulated", "version": "1.0.0", "supported_formats": ["gguf"]},
    }
