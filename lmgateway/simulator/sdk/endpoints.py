"""The endpoints of a WebSocket namespace."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Stopped(Exception):
    """The client cancelled the channel."""


class Channel(Protocol):
    """The server's end of a channel."""

    async def send(self, packet: object) -> None: ...

    async def until_stopped(self, work: Awaitable[T]) -> T:
        """Return the work's result. If the client stops the channel, cancels the work and raises Stopped."""


class Rpc(msgspec.Struct, frozen=True):
    """`parameter` is the type of the call's parameter, NoneType for none.

    The handler returns a JSON value, or UNSET for a void result, which has no "result" key.
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
