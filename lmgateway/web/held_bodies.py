"""The memory that request bodies take, of all requests together."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..config import Config
from ..observe.capacity import Capacity


class HeldBodies:
    """The owner of the count of body bytes in memory: being read, decoded, waiting, until LM Studio responds.

    Bytes count when they arrive. An announced Content-Length reserves nothing: a client that announces
    much and sends little would lock the others out. A body that is streamed through isn't held.
    """

    def __init__(self) -> None:
        self._capacity = Capacity(
            "Request bodies take {} bytes of memory, as many as limits.bodies_bytes allows.",
            "This address's request bodies take {} bytes of memory, its share of limits.bodies_bytes.",
        )

    @property
    def bytes(self) -> int:
        return self._capacity.used

    def hold(self, client: str, config: Config) -> HeldBody:
        """Count a request's body inside the block. Leave it as soon as the body is freed."""
        return HeldBody(self._capacity, client, config)


class HeldBody:
    """What one request's body takes. A context manager that gives it back."""

    __slots__ = ("_bytes", "_capacity", "_client", "_config")

    def __init__(self, capacity: Capacity, client: str, config: Config) -> None:
        self._capacity = capacity
        self._client = client
        self._config = config
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
        limit = self._config.limits.bodies_bytes
        # One address can't take all, but can send one body of any allowed size.
        share = max(limit // 2, self._config.proxy.max_body_bytes)
        self._capacity.admit(self._client, size, limit=limit, share=share)

    def grow(self, size: int) -> None:
        """Count bytes that have arrived. Raises Overloaded if there is no room for them."""
        if size:
            half = self._config.limits.bodies_bytes // 2
            if self._capacity.used + size > half:  # else neither limit is near
                self.check(size)
            self._capacity.take(self._client, size)
            self._bytes += size
