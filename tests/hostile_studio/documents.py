"""What LM Studio answers while nothing is wrong: a JSON document, or the events of a stream."""

from __future__ import annotations

from typing import Any

from tests.hostile_studio.values import SECRET

Document = dict[str, Any]
# The event's name, or "" for a line of data only, and its data.
Event = tuple[str, Document | str]

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
_WORDS = (f"{SECRET} ", "one ", "two ", "three")
_USAGE = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
_STATS = {
    "tokens_per_second": 51.4,
    "time_to_first_token": 0.11,
    "generation_time": 0.95,
    "stop_reason": "eosFound",
}
_ANTHROPIC_USAGE = {"input_tokens": 7, "output_tokens": 4}
_NATIVE_STATS = {
    "input_tokens": 7,
    "total_output_tokens": 4,
    "tokens_per_second": 51.4,
    "time_to_first_token_seconds": 0.11,
}


def error() -> Document:
    return {"error": {"message": f"{SECRET}: no such model", "type": "not_found", "code": 404, "param": None}}


def plain(path: str) -> Document:
    """Return the JSON of an answer that isn't streamed."""
    match path:
        case "/v1/embeddings" | "/api/v0/embeddings":
            vectors = [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2, 0.3]}]
            return {"object": "list", "data": vectors, "model": EMBEDDING, "usage": _USAGE}
        case "/v1/messages":
            content = [{"type": "text", "text": "".join(_WORDS)}]
            fields = {"role": "assistant", "content": content, "model": LLM, "stop_reason": "end_turn"}
            return {"id": "msg_1", "type": "message", **fields, "usage": _ANTHROPIC_USAGE}
        case "/v1/responses":
            return _response("completed")
        case "/api/v1/chat":
            return _native_result()
        case "/v1/chat/completions" | "/api/v0/chat/completions" | "/v1/completions":
            message = {"role": "assistant", "content": "".join(_WORDS), "tool_calls": []}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": LLM}
            return {**answer, "choices": choices, "usage": _USAGE, "stats": _STATS}
    models = [
        {"id": name, "object": "model", "owned_by": "you", "state": "loaded"} for name in (LLM, EMBEDDING)
    ]
    return {"object": "list", "data": models}


def streamed(path: str) -> list[Event]:
    """Return the events of a stream; those of a chat for a path that streams nothing."""
    match path:
        case "/v1/messages":
            return _messages()
        case "/v1/responses":
            named = [{"type": "response.created", "response": _response("in_progress")}]
            named += [{"type": "response.output_text.delta", "delta": word} for word in _WORDS]
            named += [{"type": "response.completed", "response": _response("completed")}]
            return [(str(event["type"]), event) for event in named]
        case "/api/v1/chat":
            named = [{"type": "chat.start", "model_instance_id": LLM}]
            named += [{"type": "prompt_processing.progress", "progress": 0.5}]
            named += [{"type": "message.delta", "content": word} for word in _WORDS]
            named += [{"type": "chat.end", "result": _native_result()}]
            return [(str(event["type"]), event) for event in named]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": LLM}
    chunks = [{**head, "choices": [{"index": 0, "delta": {"content": word}}]} for word in _WORDS]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**head, "choices": [], "usage": _USAGE, "stats": _STATS})
    return [*(("", chunk) for chunk in chunks), ("", "[DONE]")]


def _messages() -> list[Event]:
    message = {
        "id": "msg_1",
        "role": "assistant",
        "content": [],
        "usage": {"input_tokens": 7, "output_tokens": 0},
    }
    events: list[Document] = [{"type": "message_start", "message": message}]
    events += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in _WORDS
    ]
    events.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": _ANTHROPIC_USAGE})
    events.append({"type": "message_stop"})
    return [(event["type"], event) for event in events]


def _response(status: str) -> Document:
    content = [{"type": "output_text", "text": "".join(_WORDS)}]
    output = [{"type": "message", "role": "assistant", "content": content}]
    return {"id": "resp_1", "status": status, "model": LLM, "output": output, "usage": _ANTHROPIC_USAGE}


def _native_result() -> Document:
    output = [{"type": "message", "content": "".join(_WORDS)}]
    return {"model_instance_id": LLM, "output": output, "stats": _NATIVE_STATS, "response_id": "resp_1"}


def downloaded() -> list[Document]:
    """Return the models on disk, as the SDK's system.listDownloadedModels does."""
    shared = {"format": "gguf", "publisher": "house", "paramsString": "7B", "maxContextLength": 32768}
    quantization = {"name": "Q4_K_M", "bits": 4}
    llm = {
        "type": "llm",
        "modelKey": LLM,
        "path": f"house/{LLM}.gguf",
        "displayName": "Qwen",
        "vision": False,
    }
    more = {"trainedForToolUse": True, "sizeBytes": 4_683_073_184, "architecture": "qwen2"}
    embedding = {
        "type": "embedding",
        "modelKey": EMBEDDING,
        "path": f"house/{EMBEDDING}.gguf",
        "sizeBytes": 84_106_624,
    }
    return [
        {**shared, **llm, **more, "quantization": quantization},
        {**shared, **embedding, "displayName": "Nomic", "architecture": "nomic-bert"},
    ]


def loaded(kind: str) -> list[Document]:
    """Return the instances in memory, as the SDK's listLoaded does."""
    entry = downloaded()[kind == "embedding"]
    return [instance(entry, str(entry["modelKey"]))]


def instance(entry: Document, identifier: str) -> Document:
    place = {"identifier": identifier, "instanceReference": "ref-1", "ttlMs": 60_000, "contextLength": 4096}
    return {**entry, **place, "lastUsedTime": 1_790_000_000_000}


def load_config() -> Document:
    return {
        "fields": [
            {"key": "llm.load.contextLength", "value": 4096},
            {"key": "llm.load.seed", "value": {"checked": True, "value": 7}},
            {"key": "llm.load.llama.acceleration.offloadRatio", "value": "max"},
            {"key": "llm.load.llama.flashAttention", "value": True},
            {"key": "llm.load.numParallelSessions", "value": 4},
            {"key": "llm.load.useUnifiedKvCache", "value": True},
            {"key": "llm.load.llama.kCacheQuantizationType", "value": {"checked": True, "value": "f16"}},
        ]
    }


def sdk_error() -> Document:
    return {
        "title": "Failed to load the model",
        "cause": "Something in it is wrong.",
        "suggestion": "Try another one",
        "rootTitle": "Failed",
        "errorData": {"a": 1},
        "displayData": {"code": "generic.pathNotFound", "path": "x"},
        "stack": "Error: at",
    }
