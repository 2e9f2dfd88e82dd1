"""`lmgateway chat`: its answers, and what goes to a pipe and what to a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from aiohttp import test_utils, web

from tests.cli.chatting import (
    CHAT,
    CUT_SHORT,
    DONE,
    HELLO,
    THINKS,
    failed,
    generate,
    piped,
    said,
    serving,
)
from tests.cli.conftest import KEY, Commands
from tests.conftest import StartGateway
from tests.support.process import lmgateway, run_here
from tests.support.terminal import on_terminal
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk
from tests.support.waiting import ENDING_SECONDS


async def whole_answer(commands: Commands, prompt: str) -> str:
    """What the model answers to this prompt without a stream."""
    body = {"model": CHAT, "messages": [{"role": "user", "content": prompt}]}
    url, headers = commands.gateway.url("/v1/chat/completions"), {"X-API-Key": KEY}
    async with commands.gateway.client.post(url, json=body, headers=headers) as response:
        answer = await response.json()
    return str(answer["choices"][0]["message"]["content"])


async def test_a_pipe_gets_the_answer_and_nothing_else(commands: Commands) -> None:
    """Of the active model, with an end of line."""
    commands.simulator.load(CHAT)
    await commands.run("activate", CHAT)
    result = await piped("Hello!", *commands.access, cwd=commands.folder)
    assert result == (0, f"{await whole_answer(commands, 'Hello!')}\n".encode(), "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "prompt"),
    [
        (["Hello!"], b"not read", "Hello!"),
        (["Hello", "there"], b"", "Hello there"),
        (["-"], b"from a pipe\n", "from a pipe"),
        ([], b"from a pipe\n", "from a pipe"),
        (["Sum", "well-known", "-"], b"a\nb\n", "Sum well-known\n\na\nb"),
        (["-", "What is it?"], "\ufeffä".encode(), "ä\n\nWhat is it?"),
    ],
)
async def test_the_prompt(arguments: list[str], stdin: bytes, prompt: str, tmp_path: Path) -> None:
    """Of the arguments, of the standard input, or of both."""
    async with serving(HELLO) as (url, bodies):
        result = await piped(*arguments, "--url", url, cwd=tmp_path, stdin=stdin)
    assert result == (0, b"Hello.\n", "")
    assert bodies == [{"messages": [{"role": "user", "content": prompt}], "stream": True}]


async def test_options_are_fields_of_the_request(tmp_path: Path) -> None:
    """Those that are left out are for the gateway to fill in."""
    async with serving(HELLO) as (url, bodies):
        options = ("--model", CHAT, "--system", "Be brief.", "--max-tokens", "9")
        assert (await run_here("chat", "Hi", *options, "--url", url, cwd=tmp_path))[0] == 0
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert bodies == [{"messages": messages, "stream": True, "model": CHAT, "max_tokens": 9}]


@pytest.mark.parametrize("prompt", ["", "  "])
async def test_an_empty_prompt_is_refused(prompt: str, tmp_path: Path) -> None:
    """Whether it was given or read."""
    for arguments in ([prompt], []):
        status, out, err = await piped(*arguments, cwd=tmp_path, stdin=prompt.encode())
        assert (status, out) == (64, b"")
        assert err.startswith("lmgateway: The prompt is empty.")


async def test_a_pipe_gets_utf8_unchanged(tmp_path: Path) -> None:
    """Whatever encoding the system has, and also what would act on a terminal."""
    text = "🙂 ü\x1b[2J\tx\n"
    async with serving(said(text) + DONE) as (url, _):
        result = await piped("Hi", "--url", url, cwd=tmp_path, PYTHONIOENCODING="cp1252")
    assert result == (0, text.encode(), "")


async def test_an_answer_doesnt_act_on_the_terminal(tmp_path: Path) -> None:
    """Its lines and tabs are kept."""
    async with (
        serving(said("a\x1b[2Jb\r\n\tc\u202e") + DONE) as (url, _),
        on_terminal("chat", "Hi", "--url", url, cwd=tmp_path) as terminal,
    ):
        assert await terminal.ends() == 0
    assert terminal.shown == "a\\x1b[2Jb\r\n\tc\\u202e\r\n"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_is_only_for_a_terminal(name: str, tmp_path: Path) -> None:
    """Dimmed, before the answer."""
    stream = said("", **{name: "Hmm\x1b"}) + HELLO
    async with serving(stream, stream, stream) as (url, _):
        async with on_terminal("chat", "Hi", "--url", url, cwd=tmp_path) as terminal:
            assert await terminal.ends() == 0
        assert terminal.shown == "\x1b[2mHmm\\x1b\x1b[0m\r\n\r\nHello.\r\n"
        assert await piped("Hi", "--url", url, cwd=tmp_path) == (0, b"Hello.\n", "")
        out = asyncio.subprocess.PIPE
        async with on_terminal("chat", "Hi", "--url", url, cwd=tmp_path, stdout=out) as terminal:
            assert await terminal.ends() == 0
        assert terminal.shown == ""


async def test_an_answer_that_reached_its_limit(tmp_path: Path) -> None:
    """A terminal shows that it isn't the model's own end."""
    end = f"data: {json.dumps({'choices': [{'delta': {}, 'finish_reason': 'length'}]})}\n\n"
    async with (
        serving(said("Hel") + end + DONE) as (url, _),
        on_terminal("chat", "Hi", "--url", url, cwd=tmp_path) as terminal,
    ):
        assert await terminal.ends() == 0
    assert terminal.shown == "Hel\r\n\x1b[2mThe answer ends here: it reached the limit of tokens.\x1b[0m\r\n"


@pytest.mark.parametrize(
    ("stream", "status", "sentence"),
    [
        (failed(message="Too long.", code="context_length_exceeded"), 65, "Too long."),
        (failed(message="No model x.", code="model_not_found"), 66, "No model x."),
        (failed(message="It is away.", code="upstream_unavailable"), 69, "It is away."),
        (failed(message="It fell over.", code=None), 1, "It fell over."),
        ('event: error\ndata: {"error": "A sentence."}\n\n', 1, "A sentence."),
        ("", 69, CUT_SHORT),
        ("data: {\n\n", 69, "The answer can't be read: it isn't a stream of OpenAI's API."),
        (said("x" * 2**20), 69, "The server at this address isn't an lmgateway."),
        ('data: {"choices": 1}\n\n', 69, "The answer can't be read: it isn't a stream of OpenAI's API."),
    ],
)
async def test_an_answer_that_fails(stream: str, status: int, sentence: str, tmp_path: Path) -> None:
    """What came before is kept. A sentence says why it ends, and the status what kind of fault it is."""
    async with serving(": waiting\n\n" + said("Hel") + stream) as (url, _):
        result = await piped("Hi", "--url", url, cwd=tmp_path)
    assert result == (status, b"Hel\n", f"lmgateway: {sentence}\n")


async def test_refusals_of_a_gateway(commands: Commands) -> None:
    """A wrong key, none, an unknown model, no model at all, and one that isn't allowed."""
    url = ("--url", commands.gateway.base_url)
    status, shown = await commands.run_bare("chat", "Hi", *url, "--key", "wrong")
    assert (status, "The gateway doesn't accept this key" in shown) == (77, True)
    status, shown = await commands.run_bare("chat", "Hi", *url)
    assert (status, "The gateway requires a key." in shown) == (77, True)
    status, shown = await commands.run("chat", "Hi", "--model", "qwen3")
    assert (status, f"has no model qwen3. The nearest: {THINKS}" in shown) == (66, True)
    status, shown = await commands.run("chat", "Hi")
    assert (status, "No model is named, active or loaded. Name one with --model" in shown) == (66, True)
    _, made = await commands.run("keys", "add", "ben", "--model", "llama*", "--json")
    key = ("--key", json.loads(made)["key"])
    status, shown = await commands.run_bare("chat", "Hi", "-m", CHAT, *url, *key)
    assert (status, CHAT in shown) == (77, True)
    status, shown = await commands.run_bare("chat", "Hi", *url, *key)
    assert (status, "No model is named, active or loaded." in shown) == (66, True)


async def test_lm_studio_is_away(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway("http://127.0.0.1:9")
    status, shown = await run_here("chat", "Hi", "-m", "x", "--url", gateway.base_url, cwd=tmp_path)
    assert (status, "LM Studio" in shown) == (69, True)


async def test_a_server_that_isnt_a_gateway(tmp_path: Path) -> None:
    app = web.Application()

    async def complete(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    app.router.add_post("/v1/chat/completions", complete)
    async with test_utils.TestServer(app) as server:
        status, shown = await run_here("chat", "Hi", "--url", str(server.make_url("/")), cwd=tmp_path)
    assert (status, shown) == (69, "lmgateway: The server at this address isn't an lmgateway.\n")


async def test_a_cancelled_answer(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """It ends with the gateway's sentence, although the connection is broken just behind it."""
    upstream.script = generate
    gateway = await start_gateway(upstream.base_url)
    async with on_terminal("chat", "Hi", "--url", gateway.base_url, cwd=tmp_path) as terminal:
        await terminal.until("Hel")
        async with gateway.client.get(gateway.url("/debug/requests")) as response:
            (running,) = (await response.json())["running"]
        url = gateway.url(f"/debug/requests/{running['requestId']}")
        async with gateway.client.delete(url) as response:
            assert response.status == 200
        assert await terminal.ends() == 65
    assert terminal.shown == "Hel\r\nlmgateway: The request was cancelled at the gateway.\r\n"


@pytest.mark.parametrize(
    ("event", "sentence"),
    [("", CUT_SHORT), ("\n\n" + failed(message="Cancelled."), "Cancelled.")],
)
async def test_a_broken_connection(event: str, sentence: str, tmp_path: Path) -> None:
    """The event before it says why the answer ended. aiohttp's own words are for nobody."""

    async def breaks_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(said("Hel").encode()) + chunk(event.encode()) * bool(event))
        writer.close()

    async with await asyncio.start_server(breaks_off, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        status, out, err = await piped("Hi", "--url", url, cwd=tmp_path)
    assert (out, err) == (b"Hel\n", f"lmgateway: {sentence}\n")
    assert status == (1 if event else 69)


async def test_ctrl_c_ends_the_answer(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """LM Studio's connection is closed, so that it stops generating. The line is ended for the shell."""
    upstream.script = generate
    gateway = await start_gateway(upstream.base_url)
    async with on_terminal("chat", "Hi", "--url", gateway.base_url, cwd=tmp_path) as terminal:
        await terminal.until("Hel")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ends() == 130
        await asyncio.wait_for(upstream.gone.get(), ENDING_SECONDS)
    assert terminal.shown == "Hel\r\n"


async def test_a_reader_may_close_the_pipe(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """`| head -1` ends the generation at the next word."""
    goes_on = asyncio.Event()

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(said("One\n").encode()))
        await goes_on.wait()
        writer.write(chunk(said("Two\n").encode()))
        await reader.read()

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    reading, writing = os.pipe()
    async with lmgateway("chat", "Hi", "--url", gateway.base_url, cwd=tmp_path, stdout=writing) as command:
        os.close(writing)
        assert await asyncio.to_thread(os.read, reading, 4096) == b"One\n"
        os.close(reading)
        goes_on.set()
        assert await asyncio.wait_for(command.process.wait(), ENDING_SECONDS) == 141
        await asyncio.wait_for(upstream.gone.get(), ENDING_SECONDS)
