"""Magic packets, by which a sleeping machine's network card wakes it (Wake-on-LAN)."""

from __future__ import annotations

import asyncio
import logging
import socket

from ..text import clean_sentence

logger = logging.getLogger(__name__)

# The discard port, by convention.
PORT = 9
MAX_PORT = 65535
# A name server that doesn't answer must not hold up the next packet.
RESOLVE_SECONDS = 5.0
_MAC_BYTES = 6
# More than there are reasons. Without a bound, messages with changing parts would accumulate.
_MAX_LOGGED = 100


def magic_packet(mac: str) -> bytes:
    """Return the 102 bytes for this MAC address, which has colons, hyphens or no separators.

    Raises ValueError if it isn't one.
    """
    try:
        address = bytes.fromhex(mac.replace(":", "").replace("-", ""))
    except ValueError:
        address = b""
    if len(address) != _MAC_BYTES:
        raise ValueError("A MAC address has six bytes in hexadecimal, such as 00:11:22:aa:bb:cc.")
    return b"\xff" * _MAC_BYTES + address * 16


class MagicPackets:
    """Sends magic packets. A failure is logged once, until a packet was sent again."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    async def send_packet(self, mac: str, address: str) -> None:
        """Send one to this address: "host", "host:port", "[IPv6]" or "[IPv6]:port", by default port 9.

        A failure is only logged: the next packet may arrive, and so may a machine that wakes by itself.
        """
        try:
            packet = magic_packet(mac)
            await _send(packet, *_host_and_port(address))
        # UnicodeError, a ValueError, is of a name that can't be looked up.
        except (OSError, ValueError) as exc:
            self._log(clean_sentence(f"can't send a magic packet to {address}: {_reason(exc)}"))
        else:
            self._logged.clear()

    def _log(self, message: str) -> None:
        if message not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(message)
            logger.warning("%s", message)


def _host_and_port(address: str) -> tuple[str, int]:
    """Raises ValueError."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = address.partition(":")
    number = int(port) if port else PORT
    if not 0 < number <= MAX_PORT:
        raise ValueError(f"a port is a number from 1 to {MAX_PORT}")
    return host, number


async def _send(packet: bytes, host: str, port: int) -> None:
    """Send the packet to each of the host's addresses. Raises OSError if none takes it, and UnicodeError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except TimeoutError as exc:
        raise OSError(f"its name couldn't be looked up within {RESOLVE_SECONDS:g} s") from exc
    # To each one: that a datagram was sent doesn't mean that it arrives.
    outcomes = [_try_to_send(packet, *one) for one in dict.fromkeys(found)]
    if None not in outcomes:
        raise next(iter(outcomes), None) or OSError("the name has no address")


def _try_to_send(
    packet: bytes,
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    protocol: int,
    _name: str,
    target: tuple[str, int] | tuple[str, int, int, int],
) -> OSError | None:
    try:
        with socket.socket(family, kind, protocol) as sender:
            # A datagram waits only for memory; then it fails.
            sender.setblocking(False)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(packet, target)
    except OSError as exc:
        return exc
    return None


def _reason(exc: OSError | ValueError) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
