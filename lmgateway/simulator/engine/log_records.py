"""The texts of the server log's records, as LM Studio 0.4 writes them."""

import json
from collections.abc import Iterator
from math import inf

import msgspec

LONGEST_UNITS = 120
KEPT_UNITS = 50
TRUNCATED = "... <Truncated in logs> ..."

HIDDEN = "[Hidden]"
"""Stands for a body or an answer if LM Studio doesn't log sensitive data."""

STREAM_BEGAN = "First token generated. Continuing to stream response.."

DISCONNECTED = (
    "Client disconnected. Stopping generation... "
    "(If the model is busy processing the prompt, it will finish first.)"
)


class Task(msgspec.Struct, frozen=True):
    """A prediction of llama-server, and the slot it runs in."""

    slot: int
    number: int

    def __str__(self) -> str:
        return f"id {self.slot:2d} | task {self.number} |"


class Timing(msgspec.Struct, frozen=True):
    """One phase of a prediction: its seconds and tokens."""

    seconds: float
    tokens: int

    def __str__(self) -> str:
        milliseconds = self.seconds * 1000
        each = milliseconds / self.tokens if self.tokens else inf
        speed = self.tokens / self.seconds if self.seconds else inf
        return (
            f"{milliseconds:10.2f} ms / {self.tokens:5d} tokens "
            f"({each:8.2f} ms per token, {speed:8.2f} tokens per second)"
        )


def received(method: str, path: str, body: object = None, *, sensitive: bool = True) -> str:
    """A request; `body` is JSON, None for a request without one."""
    if body is None:
        return f"Received request: {method} to {path}"
    shown = pretty(shortened(body)) if sensitive else HIDDEN
    return f"Received request: {method} to {path} with body {shown}"


def shortened(value: object) -> object:
    """Return JSON with the middle of its long strings cut out; lengths are in UTF-16 units."""
    match value:
        case str():
            units = value.encode("utf-16-le")
            if len(units) <= 2 * LONGEST_UNITS:
                return value
            # A surrogate pair may be cut in half.
            kept = units[: 2 * KEPT_UNITS], units[-2 * KEPT_UNITS :]
            return TRUNCATED.join(half.decode("utf-16-le", "replace") for half in kept)
        case list():
            return [shortened(item) for item in value]
        case dict():
            return {key: shortened(item) for key, item in value.items()}
    return value


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def opening(api: str, messages: int, *, stream: bool) -> Iterator[str]:
    """Yield what the HTTP server writes before a generation."""
    if api == "responses":
        yield "Streaming response..." if stream else "Generating synchronous v1/responses response..."
        return
    yield running(messages, "Anthropic messages API" if api == "messages" else "chat completion")
    yield (
        f"Streaming {_anthropic(api)}response..." if stream else "Accumulating tokens ... (stream = false)"
    )


def running(messages: int, kind: str = "chat completion") -> str:
    return f"Running {kind} on conversation with {messages} messages."


def finished_stream(api: str) -> str:
    return f"Finished streaming {_anthropic(api)}response"


def failed(api: str, error: str) -> str:
    return f"Anthropic streaming error: {error}" if api == "messages" else error


def generated(api: str, answer: object, *, sensitive: bool) -> str:
    """The whole answer, if it isn't streamed."""
    head = "Generated synchronous v1/responses response:" if api == "responses" else "Generated prediction: "
    return f"{head} {pretty(answer) if sensitive else HIDDEN}"


def embedding(inputs: int) -> str:
    return f"Running embedding on {inputs} inputs."


def prompt_progress(fraction: float) -> str:
    return f"Prompt processing progress: {fraction * 100:.1f}%"


def prompt_cache(tokens: int) -> str:
    """MLX's record before a prompt. The simulator has no prompt cache."""
    return f"Prompt cache restore: cached_tokens=0 uncached_tokens={tokens}"


def launched(task: Task, context_length: int, prompt_tokens: int) -> str:
    return (
        "LlamaV4::predict slot selection: session_id=<empty> server-selected (LCP/LRU)\n"
        f"slot launch_slot_: {task} processing task, is_child = 0\n"
        f"slot update_slots: {task} new prompt, n_ctx_slot = {context_length}, n_keep = {prompt_tokens}, "
        f"task.n_tokens = {prompt_tokens}"
    )


def timed(task: Task, prompt: Timing, answer: Timing) -> str:
    total_ms = (prompt.seconds + answer.seconds) * 1000
    return (
        f"slot print_timing: {task} \n"
        f"prompt eval time = {prompt}\n"
        f"       eval time = {answer}\n"
        f"      total time = {total_ms:10.2f} ms / {prompt.tokens + answer.tokens:5d} tokens"
    )


def released(task: Task, tokens: int) -> str:
    return f"slot      release: {task} stop processing: n_tokens = {tokens}, truncated = 0"


def assigned(task: Task) -> str:
    return f"LlamaV4: server assigned slot {task.slot} to task {task.number}"


def _anthropic(api: str) -> str:
    return "Anthropic " if api == "messages" else ""
