"""The WebSockets themselves: getting in, staying in, and saying something wrong."""

import asyncio
import re
from pathlib import Path

import aiohttp
import lmstudio
import pytest

from lmgateway.simulator import Simulator

from .conftest import LLM, TOKEN, Socket, ask


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
    for namespace in "llm embedding system files repository diagnostics plugins runtime".split():
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


async def streamed(socket: Socket) -> list[dict[str, object]]:
    """The events up to the end of a prediction."""
    events: list[dict[str, object]] = []
    while not events or events[-1]["type"] != "llm.prediction.output":
        packet = await socket.receive()
        assert packet["message"]["type"] == "log"
        assert packet["message"]["log"]["timestamp"] > 1_700_000_000_000
        events.append(packet["message"]["log"]["data"])
    return events


async def test_logs_are_streamed(simulator: Simulator, http: aiohttp.ClientSession, log_dir: Path):
    """streamLogs sends the log's records as the file has them, prompt and answer, and the engine's texts."""
    instance = simulator.load(LLM)
    async with http.ws_connect("/diagnostics") as raw:
        socket = Socket(raw)
        await socket.authenticate()
        await socket.create("streamLogs")
        await socket.send(type="keepAlive")
        assert await socket.receive() == {"type": "keepAliveAck"}
        async with http.post("/v1/chat/completions", json=ask(stream=True, max_tokens=3)) as response:
            await response.read()
        events = await streamed(socket)
        await socket.packet({"type": "stop"})
        assert await socket.receive() == {"type": "channelClose", "channelId": 1}
    (file,) = log_dir.glob("*/*.log")
    lines = "".join(f"{event['content']}\n" for event in events if event["type"] == "server.log")
    assert lines in file.read_text(encoding="utf-8")
    assert re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]\[DEBUG\] Received request: POST to ", lines)
    (asked,) = (event for event in events if event["type"] == "llm.prediction.input")
    assert asked == {
        "type": "llm.prediction.input",
        "input": "user:\nHello",
        "modelPath": instance.model.path,
        "modelIdentifier": LLM,
    }
    (answered,) = (event for event in events if event["type"] == "llm.prediction.output")
    assert (answered["output"], answered["modelIdentifier"]) == ("This is a", LLM)
    assert answered["stats"]["predictedTokensCount"] == 3
    (launched, *_) = (event for event in events if event["type"] == "runtime.log")
    assert launched["level"] == "debug"
    assert launched["message"].startswith("LlamaV4::predict slot selection: ")
    assert {"engineName", "engineVersion", "engineType"} < set(launched)


async def test_an_identifier_belongs_to_its_first_client(http: aiohttp.ClientSession):
    """A second one with another passkey is refused while the first is connected."""
    async with http.ws_connect("/llm") as raw, http.ws_connect("/system") as second_raw:
        assert await Socket(raw).authenticate("X", "one") == {"success": True}
        assert await Socket(second_raw).authenticate("X", "one") == {"success": True}
        async with http.ws_connect("/llm") as other_raw:
            other = Socket(other_raw)
            error = 'Failed to validate client: Invalid client passkey for client "X"'
            assert await other.authenticate("X", "two") == {"success": False, "error": error}
            assert await other.closed_with() == 1000
    async with http.ws_connect("/llm") as raw:
        assert await Socket(raw).authenticate("X", "two") == {"success": True}


@pytest.mark.parametrize(
    "token", ["secret", "sk-lm-ABCDEFG:abcdefghijklmnopqrst", f"{TOKEN}u", f"{TOKEN}\n", TOKEN.lower() + "-"]
)
def test_a_token_has_one_form(token: str):
    """A simulator with a token that no SDK sends is refused."""
    with pytest.raises(ValueError, match="sk-lm-"):
        Simulator(api_token=token)
