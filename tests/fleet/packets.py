"""A UDP socket that gets wake-on-LAN packets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

MAC = "00:11:22:aa:bb:cc"
# Six times 0xFF, and sixteen times the address.
PACKET = b"\xff" * 6 + bytes.fromhex("001122aabbcc") * 16


class Packets(asyncio.DatagramProtocol):
    """`address` is what `wake_address` is set to; `received` has the packets."""

    address = ""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait(data)


@asynccontextmanager
async def packets() -> AsyncIterator[Packets]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Packets, local_addr=("127.0.0.1", 0))
    protocol.address = "127.0.0.1:{}".format(transport.get_extra_info("sockname")[1])
    try:
        yield protocol
    finally:
        transport.close()


def sleeping(network: Packets, **more: object) -> dict[str, Any]:
    """The settings of a box whose machine may be woken up."""
    return {"wake_mac": MAC, "wake_address": network.address, **more}
