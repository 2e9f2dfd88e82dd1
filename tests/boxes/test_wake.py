"""Magic packets, as a network card receives them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator

import pytest

from lmgateway.boxes.wake import MagicPackets, magic_packet
from tests.support.waiting import PATIENCE_SECONDS

MAC = "00:11:22:aa:bb:cc"
PACKET = bytes.fromhex("ff" * 6 + "001122aabbcc" * 16)


def listen(family: socket.AddressFamily, host: str, port: int = 0) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    listener.setblocking(False)
    listener.bind((host, port))
    return listener


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen(socket.AF_INET, "127.0.0.1") as listener:
        yield listener


async def received(listener: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    return await asyncio.wait_for(loop.sock_recv(listener, 1024), PATIENCE_SECONDS)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize("mac", [MAC, "00-11-22-AA-BB-CC", "001122aaBBcc"])
def test_a_packet_is_six_ff_and_sixteen_times_the_address(mac: str) -> None:
    assert (magic_packet(mac), len(PACKET)) == (PACKET, 102)


@pytest.mark.parametrize("mac", ["", "00:11:22:aa:bb", "00:11:22:aa:bb:cc:dd", "00:11:22:aa:bb:cg", "büro"])
def test_anything_else_is_no_address(mac: str) -> None:
    with pytest.raises(ValueError, match="six bytes"):
        magic_packet(mac)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_exactly_the_packet_arrives(
    host: str, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    port = listener.getsockname()[1]
    await MagicPackets().send_packet(MAC, f"{host}:{port}")
    assert await received(listener) == PACKET
    with pytest.raises(BlockingIOError):
        listener.recv(1024)
    assert not warnings(caplog)


async def test_it_may_be_sent_over_ipv6() -> None:
    with listen(socket.AF_INET6, "::1") as listener:
        await MagicPackets().send_packet(MAC, f"[::1]:{listener.getsockname()[1]}")
        assert await received(listener) == PACKET


@pytest.mark.parametrize(
    ("address", "host"), [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("127.0.0.1:9", "127.0.0.1")]
)
async def test_the_port_is_nine_unless_another_is_set(
    address: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing may listen on port 9 here, so the name look-up tells the port, and leads to another one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with listen(family, host) as listener:
        asked = []

        async def look_up(host: str, port: int, **_options: object) -> list[object]:
            asked.append((host, port))
            return [(family, socket.SOCK_DGRAM, 0, "", listener.getsockname())]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        await MagicPackets().send_packet(MAC, address)
        assert await received(listener) == PACKET
        assert asked == [(host, 9)]


async def test_it_may_be_sent_to_a_broadcast_address(caplog: pytest.LogCaptureFixture) -> None:
    """Linux refuses that to a socket that hasn't asked for it; this one has the loopback's network."""
    with listen(socket.AF_INET, "127.255.255.255") as listener:
        await MagicPackets().send_packet(MAC, f"127.255.255.255:{listener.getsockname()[1]}")
        assert await received(listener) == PACKET
    assert not warnings(caplog)


async def test_each_address_of_a_name_gets_the_packet(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody may listen at the first one. One may be impossible: no datagram goes to port 0."""

    def address(host: str, port: int) -> tuple[object, ...]:
        return socket.AF_INET, socket.SOCK_DGRAM, 0, "", (host, port)

    async def look_up(*_asked: object, **_options: object) -> list[object]:
        one, other = address("127.0.0.1", 0), address(*other_listener.getsockname())
        return [one, other, address(*listener.getsockname()), other]

    with listen(socket.AF_INET, "127.0.0.2") as other_listener:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        await MagicPackets().send_packet(MAC, "three.example:7")
        assert [await received(each) for each in (listener, other_listener)] == [PACKET, PACKET]
        with pytest.raises(BlockingIOError):
            other_listener.recv(1024)
    assert not warnings(caplog)


@pytest.mark.parametrize(
    ("mac", "address"),
    [
        (MAC, "a..b:9"),  # can't be a name
        (MAC, f"{'a' * 64}.example"),
        (MAC, "127.0.0.1:65536"),
        (MAC, "127.0.0.1:0"),
        (MAC, "127.0.0.1:http"),
        (MAC, "[127.0.0.1]x"),
        ("00:11", "127.0.0.1:9"),
    ],
)
async def test_what_cannot_be_sent_is_a_warning(
    mac: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    await MagicPackets().send_packet(mac, address)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"can't send a magic packet to {address}: ")


async def test_a_failure_is_logged_once(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each reason, and again after a packet was sent in between."""
    packets, reasons = MagicPackets(), ["no such host", "no such host", "no route", "no such host"]

    async def fail(*_asked: object, **_options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, reasons.pop(0))

    with monkeypatch.context() as offline:
        offline.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
        while len(reasons):
            await packets.send_packet(MAC, "box.example")
        sentence = "can't send a magic packet to box.example: "
        assert warnings(caplog) == [f"{sentence}no such host", f"{sentence}no route"]
    await packets.send_packet(MAC, f"127.0.0.1:{listener.getsockname()[1]}")
    reasons.append("no such host")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    await packets.send_packet(MAC, "box.example")
    assert warnings(caplog)[2:] == [f"{sentence}no such host"]


async def test_a_name_server_that_hangs_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(*_asked: object, **_options: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
    monkeypatch.setattr("lmgateway.boxes.wake.RESOLVE_SECONDS", 0.01)
    await asyncio.wait_for(MagicPackets().send_packet(MAC, "box.example"), PATIENCE_SECONDS)
    (warning,) = warnings(caplog)
    assert "looked up" in warning
