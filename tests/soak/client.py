"""What every kind of traffic works with: a way to the gateway, and words for what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp

KEY = "a key for the soak"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CHAT_MODELS = ("qwen2.5-7b-instruct", "llama-3.2-3b-instruct")
EMBEDDING_MODEL = "text-embedding-nomic-embed-text-v1.5"
# Loaded and unloaded repeatedly, so no client sends it requests.
SPARE_MODEL = "qwen2.5-vl-7b-instruct"
MAX_BODY_BYTES = 4 * 1024**2
MAX_UPLOAD_BYTES = 8 * 1024**2


class Unexpected(Exception):
    """An answer that a request of this kind must never get."""


class Broke(Exception):
    """An answer that a request may get while LM Studio is down, and at no other time."""


@dataclass
class Client:
    """`seed` is that of the damage done to this client's requests and answers."""

    session: aiohttp.ClientSession
    port: int
    random: Random
    seed: str

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send with the key, unless other headers are given; enter the result for the answer."""
        return self.session.request(
            method, f"http://127.0.0.1:{self.port}{path}", **{"headers": HEADERS, **options}
        )

    async def ask(
        self, method: str, path: str, *, status: int | tuple[int, ...] = 200, **options: Any
    ) -> Any:
        """Return the answer's JSON."""
        async with self.request(method, path, **options) as answer:
            await expect(answer, status)
            return await answer.json()

    @property
    def head(self) -> bytes:
        """The header fields that a request on a raw socket must carry."""
        return f"Host: 127.0.0.1:{self.port}\r\nX-API-Key: {KEY}\r\n".encode()


async def expect(answer: aiohttp.ClientResponse, status: int | tuple[int, ...] = 200) -> None:
    """Raise Broke or Unexpected for any other status."""
    if answer.status in (status if isinstance(status, tuple) else (status,)):
        return
    kind = Broke if answer.status in {502, 503} else Unexpected
    raise kind(f"status {answer.status}: {(await answer.text())[:300]}")
