"""A key's secret is in the one answer that shows it, and nowhere else: neither a right nor a wrong one."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from lmgateway.simulator import Pace, Simulator, serve
from tests.hostile.conftest import KEY
from tests.hostile.gateway_process import GatewayProcess, running_process

MODEL = "qwen2.5-7b-instruct"
CHAT = {"model": MODEL, "max_tokens": 3, "messages": [{"role": "user", "content": "Hello!"}]}
LETTERS = string.ascii_letters + string.digits


@dataclass
class Prober:
    """Makes requests, and keeps all that is answered: status line, header fields and body.

    `secrets` are those that were made, and wrong ones that were presented.
    """

    session: aiohttp.ClientSession
    port: int
    answers: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    async def ask(
        self, method: str, target: str, body: object = None, *, key: str | None = None, **fields: str
    ) -> str:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if key is not None:
            headers.setdefault("Authorization", f"Bearer {key}")
        url = URL(f"http://127.0.0.1:{self.port}{target}", encoded=True)
        data = None if body is None else json.dumps(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        async with self.session.request(method, url, data=data, headers=headers) as response:
            text = await response.text()
            # LM Studio's own answers repeat a model's name to the client that sent it. They have no Server.
            if "Server" in response.headers:
                self.answers.append(f"{response.status} {response.reason} {response.headers} {text}")
            return text

    async def make(self, name: str, **settings: object) -> str:
        """Make a key. Its answer, which has the secret, isn't kept."""
        return await self._secret_of("POST", "/admin/keys", {"name": name, **settings})

    async def rotate(self, name: str, grace: float) -> str:
        return await self._secret_of("POST", f"/admin/keys/{name}/rotate", {"graceSeconds": grace})

    async def _secret_of(self, method: str, path: str, body: object) -> str:
        text = await self.ask(method, path, body, key=KEY)
        answer = self.answers.pop()
        secret = str(json.loads(text)["key"])
        assert answer.count(secret) == 1
        self.secrets.append(secret)
        return secret

    def wrong(self, right: str) -> str:
        """Return a key in the form of a named one that is none; it has this one's id."""
        rest = "".join(random.Random(len(self.secrets)).choices(LETTERS, k=20))
        self.secrets.append(f"{right[:15]}{rest}")
        return self.secrets[-1]


def requests_with(secret: str) -> Iterator[tuple[str, str, object, dict[str, str]]]:
    """Yield requests that have the secret where it doesn't belong."""
    quoted, bare = quote(secret, safe=""), "/v1/models"
    yield "GET", bare, None, {"Authorization": f"Bearer {secret}", "X_API_Key": secret}
    yield "GET", bare, None, {"X_API_Key": secret}
    yield "GET", bare, None, {"Authorization": f"Basic {secret}"}
    yield "GET", bare, None, {"Authorization": secret}
    yield "GET", bare, None, {"X_API_Key": f"{secret} {secret}"}
    for key in (secret, KEY):
        by_key = {"X_API_Key": key}
        yield "GET", f"/v1/models?key={quoted}&api_key={secret}", None, by_key
        yield "GET", f"/v1/{secret}", None, by_key
        yield "GET", f"/{quoted}/x", None, by_key
        yield "GET", f"/admin/keys/{quoted}", None, by_key
        yield "DELETE", f"/admin/keys/{secret}", None, by_key
        yield "POST", f"/admin/keys/{quoted}/rotate", {}, by_key
        yield "DELETE", f"/debug/requests/{quoted}", None, by_key
        yield "GET", f"/debug/stream?types={quoted}", None, by_key
        yield "GET", bare, None, {**by_key, "Referer": f"http://x/?k={secret}"}
        yield "GET", bare, None, {**by_key, "X_Request_Id": secret}
        yield "GET", bare, None, {**by_key, "Origin": f"http://{secret}"}
        yield "GET", bare, None, {**by_key, "User_Agent": secret, "Cookie": f"k={secret}"}
        yield "POST", "/admin/keys", {"name": "x", "note": secret}, by_key
        yield "POST", "/admin/keys", {"name": secret}, by_key
        yield "POST", "/admin/keys", {secret: 1}, by_key
        yield "POST", "/admin/models/load", {"modelKey": secret}, by_key
        yield "POST", "/admin/models/activate", {"modelKey": secret, "force": True}, by_key
        yield "POST", "/v1/chat/completions", {**CHAT, "model": secret}, by_key
        yield "POST", "/v1/messages", {**CHAT, "model": secret}, by_key


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leaks(secrets: list[str], where: dict[str, bytes]) -> list[str]:
    """The places that hold a secret, or its last twenty characters alone."""
    return [
        f"{name}: …{data[max(0, data.index(secret[-20:].encode()) - 80) :][:160]!r}"
        for name, data in where.items()
        for secret in secrets
        if secret[-20:].encode() in data
    ]


async def use(prober: Prober, process: GatewayProcess) -> None:
    """Keys of all rights, used rightly and wrongly, changed, rotated and revoked."""
    keys = [
        await prober.make("anna"),
        await prober.make("boss", scopes=["admin"], note="n", addresses=["10.0.0.1"]),
        await prober.make("few", scopes=[], models=["none"], limits={"requestsPerMinute": 1}),
    ]
    keys.append(await prober.rotate("anna", 1000))
    for key in keys:
        for stream in (False, True):
            await prober.ask("POST", "/v1/chat/completions", {**CHAT, "stream": stream}, key=key)
        for path in (
            "/v1/models",
            "/admin/keys",
            "/debug/status",
            "/metrics",
            "/nowhere",
            "/admin/keys/self",
        ):
            await prober.ask("GET", path, key=key)
    for secret in (*keys, *(prober.wrong(key) for key in keys)):
        for method, target, body, fields in requests_with(secret):
            await prober.ask(method, target, body, **fields)
    await prober.rotate("few", 0)
    await prober.ask("PATCH", "/admin/keys/boss", {"share": 2}, key=KEY)
    await prober.ask("DELETE", "/admin/keys/few", key=KEY)
    for path in (
        *("/admin/keys", "/admin/config", "/admin/usage"),
        *("/debug/requests", "/debug/metrics", "/debug/system", "/metrics"),
    ):
        await prober.ask("GET", path, key=KEY)
    assert process.alive


async def read_events(prober: Prober) -> str:
    """All events since the start."""
    url, headers = f"http://127.0.0.1:{prober.port}/debug/stream", {"X-API-Key": KEY, "Last-Event-ID": "0"}
    text = ""
    async with prober.session.get(url, headers=headers) as response:
        while '"change":"revoked"' not in text:
            text += (await response.content.readany()).decode()
    return text


@pytest.mark.parametrize("log_format", ["json", "plain"])
async def test_the_secret_is_nowhere(tmp_path: Path, log_format: str) -> None:
    """Neither in files, the log at its most verbose, an answer, an event nor a metric."""
    simulator = Simulator(pace=Pace.instant())
    simulator.load(MODEL)
    options = ("logging.level=debug", f"logging.format={log_format}", "lmstudio.connect_pause_ms=1")
    async with serve(simulator, "127.0.0.1", 0) as port:
        async with running_process(tmp_path, f"http://127.0.0.1:{port}", *options) as process:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
                prober = Prober(session, process.port)
                await use(prober, process)
                events = await read_events(prober)
            while_it_runs = files_of(tmp_path)
        assert len(prober.secrets) == 9
        places = {
            **while_it_runs,
            **{f"{name} afterwards": data for name, data in files_of(tmp_path).items()},
            "the log": bytes(process.log),
            "the events": events.encode(),
            **{f"answer {number}": text.encode() for number, text in enumerate(prober.answers)},
        }
    assert any(name.endswith("-wal") for name in while_it_runs)
    assert b"anna" in places["the log"]
    assert '"key":"anna"' in events
    assert any("boss" in answer for answer in prober.answers)
    assert leaks(prober.secrets, places) == []
