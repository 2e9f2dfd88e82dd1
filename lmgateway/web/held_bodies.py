"""The memory that request bodies take, of all requests together."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..config import Config
from ..observe.capacity import Capacity


def held_bodies() -> Capacity:
    """Return the count of body bytes in memory: being read, decoded, waiting, until LM Studio responds.

    Bytes count when they arrive. An announced Content-Length reserves nothing: a client that announces
    much and sends little would lock the others out. A body that is streamed through isn't held.
    """
    return Capacity(
        "Request bodies take {} bytes of memory, as many as limits.bodies_bytes allows.",
        "This address's request bodies take {} bytes of memory, its share of limits.bodies_bytes.",
    )


class HeldBody:
    """Counts one request's body inside the block. Leave it as soon as the body is freed."""

    __slots__ = ("_bytes", "_capacity", "_client", "_limit", "_share")

    def __init__(self, capacity: Capacity, client: str, config: Config) -> None:
        self._capacity = capacity
        self._client = client
        self._limit = limit = config.limits.bodies_bytes
        # One address can't take all, but can send one body of any allowed size.
        self._share = max(limit // 2, config.proxy.max_body_bytes)
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bytes:
            self._capacity.give_back(self._client, self._bytes)

    def check(self, size: int) -> None:
        """Raise Overloaded if there is no room for so many bytes now."""
        self._capacity.admit(self._client, size, limit=self._limit, share=self._share)

    def grow(self, size: int) -> None:
        """Count bytes that have arrived. Raises Overloaded if there is no room for them."""
        if size:
            self._capacity.claim(self._client, size, limit=self._limit, share=self._share)
            self._bytes += size
