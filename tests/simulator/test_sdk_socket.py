"""The WebSockets themselves: getting in, staying in, and saying something wrong."""

import asyncio

import aiohttp
import lmstudio
import pytest

from lmgateway.simulator import Simulator

from .conftest import LLM, Socket, ask


async def test_greeting(http: aiohttp.ClientSession):
    """The answer to the SDK's probe says that this is LM Studio."""
    async with http.get("/lmstudio-greeting") as response:
        assert await response.json() == {"lmstudio": True}


async def test_a_token_is_sent_in_two_halves(guarded: str):
    """Identifier and passkey together are the API token; with another one the socket is closed."""
    async with aiohttp.ClientSession(guarded) as http:
        async with http.ws_connect("/system") as raw:
            assert await Socket(raw).authenticate("ABCDEFGH", "abcdefghijklmnopqrst") == {"success": True}
        async with http.ws_connect("/system") as raw:
            refused = Socket(raw)
            answer = await refused.authenticate("ABCDEFGH", "wrong")
            assert answer["success"] is False
            assert "token" in answer["error"]
            assert await refused.closed_with() == 1000


async def test_the_sdk_sends_a_token_when_overridden(guarded: str):
    """Overriding `_create_auth_message` authenticates SDK 1.5.0; otherwise it raises ValueError."""

    class WithToken(lmstudio.AsyncClient):
        def _create_auth_message(self):
            return self._format_auth_message("ABCDEFGH", "abcdefghijklmnopqrst")

    host = guarded.removeprefix("http://")
    async with WithToken(host) as sdk:
        assert len(await sdk.list_downloaded_models()) == 6
    stranger = lmstudio.AsyncClient(host)
    with pytest.raises(ValueError, match="dictionary"):
        await stranger.__aenter__()
    await stranger.aclose()


async def test_authentication_has_its_time(simulator: Simulator, http: aiohttp.ClientSession):
    """Without it in time the socket gets an error and is closed with 1000; other frames don't count."""
    simulator.authentication_seconds = 0.05
    async with http.ws_connect("/llm") as raw:
        socket = Socket(raw)
        await socket.send(authVersion=1, clientIdentifier="x" * 257, clientPasskey="")
        assert await socket.receive() == {"success": False, "error": "Authentication timed out"}
        assert await socket.closed_with() == 1000


async def test_every_namespace_accepts_an_anonymous_client(http: aiohttp.ClientSession):
    for namespace in ("llm", "embedding", "system", "files", "repository", "diagnostics"):
        async with http.ws_connect(f"/{namespace}") as raw:
            assert await Socket(raw).authenticate() == {"success": True}


async def test_an_unknown_namespace_never_answers(port: int):
    """An upgrade on any other path stays without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    writer.close()
    await writer.wait_closed()


async def test_keep_alive(llm_socket: Socket):
    """keepAlive is acknowledged."""
    await llm_socket.send(type="keepAlive")
    assert await llm_socket.receive() == {"type": "keepAliveAck"}


async def test_warnings_end_after_five(llm_socket: Socket):
    """Bad calls get warnings without an id, five a socket; good calls go on working."""
    for number in range(7):
        await llm_socket.send(type="rpcCall", endpoint="nonsense", callId=number)
    await llm_socket.send(type="rpcCall", endpoint="listLoaded", callId=99)
    answers = [await llm_socket.receive() for _ in range(6)]
    assert [answer["type"] for answer in answers] == ["communicationWarning"] * 5 + ["rpcResult"]
    assert answers[0]["kind"] == "rpcEndpointUnknown"
    assert "callId" not in answers[0]


CALL, CREATE = {"type": "rpcCall", "callId": 1}, {"type": "channelCreate", "channelId": 1}


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ({**CALL, "endpoint": "unloadModel", "parameter": {}}, "rpcParameterTypeError"),
        ({**CREATE, "endpoint": "nonsense"}, "channelEndpointUnknown"),
        ({**CREATE, "endpoint": "loadModel"}, "channelCreationParameterTypeError"),
        ({"type": "channelSend", "channelId": 7, "message": {"type": "cancel"}}, "channelUnknown"),
    ],
)
async def test_kinds_of_warnings(llm_socket: Socket, frame: dict[str, object], kind: str):
    """Each mistake has its kind."""
    await llm_socket.send(**frame)
    warning = await llm_socket.receive()
    assert (warning["type"], warning["kind"]) == ("communicationWarning", kind)


async def test_logs_are_streamed(simulator: Simulator, http: aiohttp.ClientSession):
    """streamLogs sends each record of the server log until it is stopped."""
    simulator.load(LLM)
    async with http.ws_connect("/diagnostics") as raw:
        socket = Socket(raw)
        await socket.authenticate()
        await socket.create("streamLogs")
        await socket.send(type="keepAlive")
        assert await socket.receive() == {"type": "keepAliveAck"}
        async with http.post("/v1/chat/completions", json=ask(max_tokens=1)):
            packet = await socket.receive()
        log = packet["message"]["log"]
        assert packet["message"]["type"] == "log"
        assert log["data"]["type"] == "server.log"
        assert log["data"]["level"] == "info"
        assert log["data"]["content"].endswith("Running chat completion on conversation with 1 messages.")
        assert log["timestamp"] > 1_700_000_000_000
        await socket.packet({"type": "stop"})
        while (last := await socket.receive())["type"] == "channelSend":
            pass
        assert last == {"type": "channelClose", "channelId": 1}
