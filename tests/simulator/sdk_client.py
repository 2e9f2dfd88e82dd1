"""Calls what LM Studio's Python SDK offers, and prints the results as one JSON object: `sdk_client.py HOST`.

A test runs it with different versions of the SDK; each reads an API token where it expects one.
"""

import asyncio
import json
import sys
from importlib.metadata import version

import lmstudio

LLM = "qwen2.5-7b-instruct"
EMBEDDING = "text-embedding-nomic-embed-text-v1.5"


async def error_of(call) -> str:
    """The code of a call that has to fail."""
    try:
        await call
    except lmstudio.LMStudioServerError as exc:
        details = exc.server_error.display_data
        # A struct only where the SDK knows the code.
        return details["code"] if isinstance(details, dict) else details.code
    raise AssertionError("the call didn't fail")


async def predict(model: lmstudio.AsyncLLM) -> dict[str, object]:
    stream = await model.respond_stream("Hello", config={"maxTokens": 4})
    pieces = [fragment.content async for fragment in stream]
    cancelled = await model.respond_stream("Tell me of it in 5000 words")
    async for _ in cancelled:
        await cancelled.cancel()
    return {
        "pieces": pieces,
        "stopReason": stream.result().stats.stop_reason,
        "cancelled": cancelled.result().stats.stop_reason,
        "template": await model.apply_prompt_template("Hello"),
        "tokens": len(await model.tokenize("one two")),
        "count": await model.count_tokens("one two"),
    }


async def main(host: str) -> dict[str, object]:
    async with lmstudio.AsyncClient(host) as client:
        downloaded = await client.list_downloaded_models()
        progress: list[float] = []
        model = await client.llm.load_new_instance(
            LLM, "mine", config={"contextLength": 8192}, on_load_progress=progress.append
        )
        loaded = [one.identifier for one in await client.llm.list_loaded()]
        predicted = await predict(model)
        embedder = await client.embedding.model(EMBEDDING)
        results = {
            "version": version("lmstudio"),
            "downloaded": [one.model_key for one in downloaded],
            "progress": progress,
            "loaded": loaded,
            **predicted,
            "contextLength": await model.get_context_length(),
            "loadConfig": (await model.get_load_config()).context_length,
            "dimensions": len(await embedder.embed("one two")),
            "unknownModel": await error_of(client.llm.load_new_instance("no/such-model")),
        }
        await model.unload()
        return {
            **results,
            "left": len(await client.llm.list_loaded()),
            "unloaded": await error_of(client.llm.unload("mine")),
            "unknownInstance": await error_of(client.llm.get_model_info("nobody")),
        }


print(json.dumps(asyncio.run(main(sys.argv[1]))))
