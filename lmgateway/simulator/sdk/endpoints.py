"""What a WebSocket namespace is made of."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Stopped(Exception):
    """The client took back what it had asked of a channel."""


class Channel(Protocol):
    """The server's end of a channel."""

    async def send(self, packet: object) -> None: ...

    async def until_stopped(self, work: Awaitable[T]) -> T:
        """The work's result. Raises Stopped, having cancelled the work, if the client stops the channel."""


class Rpc(msgspec.Struct, frozen=True):
    """`parameter` is what the call's parameter must be (NoneType for none at all).

    The handler returns what JSON can hold, or UNSET for a void result, which has no "result" key.
    """

    parameter: Any
    handler: Callable[[Any], Awaitable[object]]


class ChannelEndpoint(msgspec.Struct, frozen=True):
    """The channel closes when the handler returns. `stop` is the one packet type that clients may send."""

    parameter: Any
    handler: Callable[[Any, Channel], Awaitable[None]]
    stop: Literal["cancel", "stop"] = "cancel"


class Namespace(msgspec.Struct, frozen=True):
    """Endpoints by name."""

    rpcs: Mapping[str, Rpc] = {}
    channels: Mapping[str, ChannelEndpoint] = {}
