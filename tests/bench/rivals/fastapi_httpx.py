"""A gateway as they are often written: FastAPI, and a new httpx client for each request.

python -m tests.bench.rivals.fastapi_httpx PORT URL
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn
from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse


def make_app(studio: str) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(body: dict[str, Any] = Body()) -> Response:  # noqa: B008 - FastAPI requires it
        url = f"{studio}/v1/chat/completions"

        async def stream() -> AsyncIterator[bytes]:
            async with (
                httpx.AsyncClient(timeout=None) as client,
                client.stream("POST", url, json=body) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    yield chunk

        if body.get("stream"):
            return StreamingResponse(stream(), media_type="text/event-stream")
        async with httpx.AsyncClient(timeout=None) as client:
            answer = await client.post(url, json=body)
        return JSONResponse(answer.json(), status_code=answer.status_code)

    return app


if __name__ == "__main__":
    uvicorn.run(
        make_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", backlog=4096
    )
