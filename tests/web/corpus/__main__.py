"""Records the answers of the simulated LM Studio: `python -m tests.web.corpus`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from lmgateway.simulator import Pace, Simulator, serve
from tests.support.raw_client import raw_client

CORPUS = Path(__file__).with_name("answers.json")
LLM, REASONING, EMBEDDING = "qwen2.5-7b-instruct", "qwen/qwen3-8b", "text-embedding-nomic-embed-text-v1.5"
HELLO = [{"role": "user", "content": "Say “hello” and 🎉."}]
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOL = {"name": "read", "description": "Reads.", "parameters": PARAMETERS}
SHORT = {"max_tokens": 6}
USAGE = {"stream_options": {"include_usage": True}}
REQUESTS: list[tuple[str, dict[str, object]]] = [
    *(
        (path, {"model": model, "messages": HELLO, "stream": stream, **SHORT, **(USAGE if stream else {})})
        for path in ("/v1/chat/completions", "/api/v0/chat/completions", "/v1/messages")
        for model in (LLM, REASONING)
        for stream in (False, True)
    ),
    *(
        (
            "/v1/chat/completions",
            {
                "model": LLM,
                "messages": HELLO,
                "tools": [{"type": "function", "function": TOOL}],
                "stream": stream,
                **(USAGE if stream else {}),
            },
        )
        for stream in (False, True)
    ),
    *(
        (path, {"model": model, "input": "Hello", "stream": stream, "max_output_tokens": 6})
        for path in ("/v1/responses", "/api/v1/chat")
        for model in (LLM, REASONING)
        for stream in (False, True)
    ),
    *(
        ("/v1/completions", {"model": LLM, "prompt": "Once", "stream": stream, **SHORT, **USAGE})
        for stream in (False, True)
    ),
    ("/v1/embeddings", {"model": EMBEDDING, "input": ["x"], "encoding_format": "base64"}),
    ("/v1/chat/completions", {"model": "nobody", "messages": HELLO}),
    ("/v1/chat/completions", {"model": LLM}),
    ("/v1/responses", {"model": LLM, "input": "Hello", "previous_response_id": "resp_unknown"}),
    ("/v1/messages", {"model": "nobody", "messages": HELLO, "max_tokens": 5}),
    ("/api/v1/models/load", {"model": "nobody"}),
]


async def record() -> None:
    """Write a list of `{"path", "request", "response"}`: bodies as JSON, responses as Latin-1 text."""
    simulator = Simulator(pace=Pace.instant())
    answers = []
    async with serve(simulator, "127.0.0.1", 0) as port:
        for model in (LLM, REASONING, EMBEDDING):
            simulator.load(model)
        for path, body in REQUESTS:
            sent = json.dumps(body).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(sent)}\r\n\r\n"
            )
            async with raw_client(port) as client:
                await client.send(head.encode() + sent)
                response = await client.reader.read()
            answers.append({"path": path, "request": body, "response": response.decode("latin-1")})
    CORPUS.write_text(json.dumps(answers, indent=1))


if __name__ == "__main__":
    asyncio.run(record())
