"""GET /admin/usage: who used what, as JSON and CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lmgateway.observe.usage import Counts, UsageRow
from lmgateway.simulator import Pace, Simulator
from lmgateway.storage.usage import SavedUsage
from lmgateway.web import usage
from lmgateway.web.state import DATABASE, LEDGER
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.gateway import Gateway, running_gateway
from tests.support.home import QUICK
from tests.support.keys import OWNER, bearer, make_key
from tests.support.studio import Studio, running_studio
from tests.support.waiting import until
from tests.support.zone import local_zone

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
HELLO = "Say something in 5 words."
MESSAGES = [{"role": "user", "content": HELLO}]
GENERATING: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": HELLO},
    "/api/v0/chat/completions": {"messages": MESSAGES},
    "/v1/responses": {"input": HELLO},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 50},
    "/api/v1/chat": {"input": HELLO},
}
NOON = 1_796_040_000  # 2026-11-30T12:00:00Z


async def asked(gateway: Gateway, query: str = "", key: str = OWNER) -> tuple[int, Any]:
    headers = {"X-API-Key": key}
    async with gateway.client.get(gateway.url(f"/admin/usage{query}"), headers=headers) as response:
        is_json = response.content_type == "application/json"
        return response.status, await (response.json() if is_json else response.text())


async def rows(gateway: Gateway, by: str) -> dict[tuple[str, ...], dict[str, int]]:
    status, report = await asked(gateway, f"?by={by}")
    assert status == 200, report
    names = by.split(",")
    return {tuple(row.pop(name) for name in names): row for row in report["rows"]}


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    simulator = Simulator(pace=Pace.instant())
    simulator.load(LLM)
    simulator.load(EMBEDDING)
    async with running_studio(simulator) as studio:
        yield studio


@pytest.fixture
async def gateway(start_gateway: StartGateway, studio: Studio) -> Gateway:
    gateway = await start_gateway(studio.base_url, lmstudio=QUICK, auth={"api_key": OWNER})
    gateway.client.connector._limit = 0  # type: ignore[union-attr]
    return gateway


async def ask(gateway: Gateway, key: str, path: str, body: dict[str, Any]) -> int:
    with suppress(aiohttp.ClientError):
        async with gateway.client.post(gateway.url(path), json=body, headers=bearer(key)) as response:
            await response.read()
            return response.status
    return 0


async def leave_after(gateway: Gateway, key: str, tokens: int) -> None:
    """Read so many tokens of a stream, and disconnect."""
    body = {"model": LLM, "messages": MESSAGES, "stream": True}
    url = gateway.url("/v1/chat/completions")
    async with gateway.client.post(url, json=body, headers=bearer(key)) as response:
        async for line in response.content:
            tokens -= b'"content":"' in line and b'"content":""' not in line
            if not tokens:
                break


class Stops(Pace):
    """Generates so many tokens, and no more."""

    def __init__(self, tokens: int) -> None:
        super().__init__(prompt_tokens_per_second=inf, tokens_per_second=inf, load_seconds=0)
        self.left = tokens - 1  # nothing is waited for before the first

    async def token(self, speed: float = 1.0) -> None:
        if not self.left:
            await asyncio.Event().wait()
        self.left -= 1
        await super().token(speed)


@pytest.mark.parametrize(("whole", "aborted"), [(60, 6), pytest.param(260, 30, marks=pytest.mark.long)])
async def test_mixed_requests_are_what_lm_studio_says(
    gateway: Gateway, studio: Studio, whole: int, aborted: int
) -> None:
    """Requests, errors and tokens of each key, whole or aborted, streamed or not, of every API."""
    dice = random.Random(19)
    keys = {name: await make_key(gateway, name) for name in ("alice", "bob", "carol")}
    expected = {name: Counter[str]() for name in keys}
    told = studio.simulator.ledger

    async def generate(name: str) -> None:
        path = dice.choice(list(GENERATING))
        body = {"model": LLM, "stream": dice.random() < 0.5, **GENERATING[path]}
        assert await ask(gateway, keys[name], path, body) == 200
        expected[name]["requests"] += 1

    async def embed(name: str) -> None:
        body = {"model": EMBEDDING, "input": HELLO}
        assert await ask(gateway, keys[name], "/v1/embeddings", body) == 200
        expected[name].update(requests=1, untold=1)

    async def refused_by_lm_studio(name: str) -> None:
        body = {"model": LLM, "messages": "not a list"}
        assert await ask(gateway, keys[name], "/v1/chat/completions", body) == 400
        expected[name]["requests"] += 1

    async def refused_by_the_gateway(name: str) -> None:
        assert await ask(gateway, keys[name], "/v1/models/%2e%2e/x", {}) == 400
        expected[name]["refused"] += 1

    kinds = (generate, generate, generate, embed, refused_by_lm_studio, refused_by_the_gateway)
    await asyncio.gather(*(dice.choice(kinds)(dice.choice(list(keys))) for _ in range(whole)))
    # LM Studio reports 0 for the prompts of embeddings.
    prompt = told.total.prompt_tokens - told.apis["embeddings"].prompt_tokens
    completion = told.total.completion_tokens
    by_key = await rows(gateway, "key")
    assert sum(row["promptTokens"] for row in by_key.values()) == prompt
    assert sum(row["completionTokens"] for row in by_key.values()) == completion
    assert told.total.aborted == 0

    for number in range(aborted):
        name = dice.choice(list(keys))
        studio.simulator.pace = Stops(3)
        await leave_after(gateway, keys[name], 3)
        await asyncio.wait_for(told.wait(aborted=number + 1), 5)
        expected[name].update(requests=1, untold=1)
    await studio.stop()
    for _ in range(10):
        name = dice.choice(list(keys))
        assert await ask(gateway, keys[name], "/v1/chat/completions", {"model": LLM}) == 503
        expected[name].update(requests=1, errors=1)

    by_key = await rows(gateway, "key")
    assert {name for (name,) in by_key} == set(keys)
    for (name,), row in by_key.items():
        for count in ("requests", "errors", "refused", "untold"):
            assert row[count] == expected[name][count], (name, count)
    assert (
        sum(sum(row[name] for name in ("requests", "refused")) for row in by_key.values())
        == whole + aborted + 10
    )
    assert sum(row["completionTokens"] for row in by_key.values()) == completion + aborted * 3
    assert (told.total.completion_tokens, told.total.aborted) == (completion + aborted * 3, aborted)
    by_model = await rows(gateway, "model,box")
    # Those for the stopped LM Studio were never sent.
    assert set(by_model) == {(LLM, "lmstudio"), (LLM, ""), (EMBEDDING, "lmstudio"), ("", "")}
    assert by_model[EMBEDDING, "lmstudio"]["untold"] == by_model[EMBEDDING, "lmstudio"]["requests"]
    assert by_model["", ""]["refused"] == sum(one["refused"] for one in expected.values())


async def test_the_gpus_time_is_from_the_sending_to_the_end(gateway: Gateway, studio: Studio) -> None:
    """Listing the models takes none."""
    studio.simulator.pace = gate = Gate(holds="token")
    asking = asyncio.create_task(
        ask(gateway, OWNER, "/v1/chat/completions", {"model": LLM, "messages": MESSAGES})
    )
    await asyncio.wait_for(gate.reached.wait(), 5)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.05)
    held = asyncio.get_running_loop().time() - began
    gate.opened.set()
    assert await asking == 200
    async with gateway.client.get(gateway.url("/v1/models"), headers={"X-API-Key": OWNER}) as response:
        await response.read()
    by_model = await rows(gateway, "model")
    assert by_model[LLM,]["gpuMs"] >= int(held * 1000)
    assert by_model["",]["gpuMs"] == 0
    assert [by_model[name,]["requests"] for name in (LLM, "")] == [1, 1]


async def test_what_is_refused_before_a_handler_counts_as_refused(
    gateway: Gateway, start_gateway: StartGateway, studio: Studio
) -> None:
    """A missing scope is a refusal of its key's; a wrong key is nobody's."""
    key = await make_key(gateway, "watcher", scopes=["observe"])
    body = {"model": LLM, "messages": MESSAGES}
    assert await ask(gateway, key, "/v1/chat/completions", body) == 403
    assert await ask(gateway, "wrong", "/v1/chat/completions", body) == 401
    async with gateway.client.post(
        gateway.url("/admin/models/load"), json={}, headers={"X-API-Key": key}
    ) as response:
        assert response.status == 403
    by_key = await rows(gateway, "key")
    assert {name: (row["requests"], row["refused"]) for (name,), row in by_key.items()} == {"watcher": (0, 1)}


async def test_a_full_gateway_refuses(start_gateway: StartGateway, studio: Studio) -> None:
    """Its own 503 is a refusal, and no error."""
    gateway = await start_gateway(studio.base_url, auth={"api_key": OWNER}, limits={"requests": 1})
    studio.simulator.pace = gate = Gate(holds="token")
    body = {"model": LLM, "messages": MESSAGES}
    running = asyncio.create_task(ask(gateway, OWNER, "/v1/chat/completions", body))
    await asyncio.wait_for(gate.reached.wait(), 5)
    assert await ask(gateway, OWNER, "/v1/chat/completions", body) == 503
    gate.opened.set()
    assert await running == 200
    row = (await rows(gateway, "key"))["owner",]
    assert (row["requests"], row["errors"], row["refused"]) == (1, 0, 1)


async def test_what_the_drain_ends_is_counted(
    start_gateway: StartGateway, studio: Studio, tmp_path: Path
) -> None:
    """A request that a restart cuts off is no error of LM Studio's, and what it took is unknown."""
    tables: dict[str, Any] = {
        "lmstudio": {"base_url": studio.base_url},
        "server": {"state_dir": str(tmp_path / "state"), "drain_seconds": 0},
        "auth": {"api_key": OWNER},
    }
    studio.simulator.pace = gate = Gate(holds="token")
    async with running_gateway(tables) as first:
        body = {"model": LLM, "messages": MESSAGES}
        running = asyncio.create_task(ask(first, OWNER, "/v1/chat/completions", body))
        await asyncio.wait_for(gate.reached.wait(), 5)
    running.cancel()
    second = await start_gateway(studio.base_url, auth={"api_key": OWNER})
    row = (await rows(second, "key"))["owner",]
    assert [row[name] for name in ("requests", "errors", "refused", "untold")] == [1, 0, 0, 1]


async def test_an_upload_that_is_too_large_is_refused(start_gateway: StartGateway, studio: Studio) -> None:
    """Although LM Studio got its beginning."""
    limits = {"max_upload_bytes": 100_000}
    gateway = await start_gateway(studio.base_url, auth={"api_key": OWNER}, proxy=limits)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(10_000)

    headers = {"X-API-Key": OWNER}
    async with gateway.client.post(gateway.url("/v1/files"), data=pieces(), headers=headers) as response:
        assert response.status == 413
    row = (await rows(gateway, "key"))["owner",]
    assert [row[name] for name in ("requests", "errors", "refused")] == [0, 0, 1]


async def test_counting_tokens_is_a_request_that_runs_no_model(gateway: Gateway) -> None:
    """A model that isn't loaded isn't loaded for it: that 404 is the gateway's."""
    for model, status in ((LLM, 200), ("llama-3.2-3b-instruct", 404)):
        body = {"model": model, "messages": MESSAGES}
        assert await ask(gateway, OWNER, "/v1/messages/count_tokens", body) == status
    by_model = await rows(gateway, "model,box")
    assert {name: (row["requests"], row["refused"]) for name, row in by_model.items()} == {
        (LLM, "lmstudio"): (1, 0),
        ("llama-3.2-3b-instruct", "lmstudio"): (0, 1),
    }
    assert sum(row["gpuMs"] + row["untold"] + row["promptTokens"] for row in by_model.values()) == 0


async def test_counts_survive_a_restart_and_are_complete_after_the_drain(
    start_gateway: StartGateway, studio: Studio
) -> None:
    """Also those of the last milliseconds."""
    first = await start_gateway(studio.base_url, auth={"api_key": OWNER})
    body = {"model": LLM, "messages": MESSAGES}
    for _ in range(3):
        assert await ask(first, OWNER, "/v1/chat/completions", body) == 200
    await first.app.shutdown()
    await first.app.cleanup()
    second = await start_gateway(studio.base_url, auth={"api_key": OWNER})
    assert (await rows(second, "key"))["owner",]["requests"] == 3


async def test_the_default_is_seven_days_by_day_and_key(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midnights are the gateway's own; until is now, in whole hours."""
    with local_zone("Europe/Berlin"):
        monkeypatch.setattr(usage, "unix_time", lambda: NOON + 1.5)
        begin = int(datetime.fromisoformat("2026-11-24T00:00:00+01:00").timestamp())
        counts = Counts(requests=1, prompt_tokens=2)
        for hour in (begin - 3600, begin, NOON, NOON + 3600):
            await SavedUsage(gateway.app[DATABASE]).add({UsageRow(hour, "bob", "m", "b"): counts})
        status, report = await asked(gateway)
        zero = dict.fromkeys(("errors", "refused", "completionTokens", "reasoningTokens"), 0)
        rest = {**zero, **dict.fromkeys(("gpuMs", "waitMs", "untold"), 0)}
        one = {"requests": 1, "promptTokens": 2, **rest}
        assert (status, report) == (
            200,
            {
                "since": "2026-11-23T23:00:00.000Z",
                "until": "2026-11-30T13:00:00.000Z",
                "by": ["day", "key"],
                "rows": [
                    {"day": "2026-11-24", "key": "bob", **one},
                    {"day": "2026-11-30", "key": "bob", **one},
                ],
                "total": {**rest, "requests": 2, "promptTokens": 4},
            },
        )
        assert (await asked(gateway, "?until=2026-11-24"))[0] == 400  # by default since then
        _, report = await asked(
            gateway, "?since=2026-11-30T12:59:59Z&until=2026-11-30T14:00:01%2B00:00&by=hour"
        )
        assert [row["hour"] for row in report["rows"]] == [
            "2026-11-30T12:00:00.000Z",
            "2026-11-30T13:00:00.000Z",
        ]
        assert (report["since"], report["until"]) == ("2026-11-30T12:00:00.000Z", "2026-11-30T15:00:00.000Z")


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("?since=yesterday", ["since"]),
        ("?since=2026-02-30", ["since"]),
        ("?since=0001-01-01", ["since"]),
        ("?until=9999-12-31T23:59", ["until"]),
        ("?until=2026-11-30T00:00:00+01:00", ["until"]),  # an unescaped + is a blank
        ("?since=2026-11-30&until=2026-11-30", ["until"]),
        ("?since=2026-11-30&since=2026-11-29", ["since"]),
        ("?by=day,client", ["by"]),
        ("?format=xml", ["format"]),
        ("?since=x&until=y&by=z&format=w", ["since", "until", "by", "format"]),
    ],
)
async def test_a_bad_parameter_is_named(gateway: Gateway, query: str, paths: list[str]) -> None:
    """With what is allowed."""
    status, answer = await asked(gateway, query)
    assert (status, answer["error"]) == (400, "Validation failed")
    assert [mistake["path"] for mistake in answer["details"]] == paths
    assert all(mistake["message"] for mistake in answer["details"])


async def test_too_many_rows_are_refused(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would hold up other requests."""
    monkeypatch.setattr(usage, "MAX_ROWS", 2)
    for key in ("a", "b", "c"):
        gateway.app[LEDGER].refused(key)
    status, answer = await asked(gateway, "?by=key")
    assert (status, answer["details"][0]["path"]) == (400, "by")
    assert "2 rows" in answer["details"][0]["message"]
    assert (await asked(gateway, "?by=day"))[0] == 200


async def test_csv(gateway: Gateway) -> None:
    """A spreadsheet opens it under a name of its own, and no name in it becomes a formula."""
    add = SavedUsage(gateway.app[DATABASE]).add
    names = ('=cmd|"/c calc"!A1', "+1", "-1", "@x", 'a,"b"', "ü")
    await add({UsageRow(NOON, "bob", name, "lmstudio"): Counts(requests=1, untold=1) for name in names})
    url = gateway.url("/admin/usage?by=model,key&format=csv&since=2026-11-30&until=2026-12-01")
    async with gateway.client.get(url, headers={"X-API-Key": OWNER}) as response:
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"].startswith('attachment; filename="usage-2026-11-30')
        text = (await response.read()).decode()
    assert text.count("\r\n") == text.count("\n") == 7
    head, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    counts = "requests,errors,refused,promptTokens,completionTokens,reasoningTokens,gpuMs,waitMs,untold"
    assert head == ["model", "key", *counts.split(",")]
    assert {line[0] for line in lines} == {f"'{name}" if name[0] in "=+-@" else name for name in names}
    assert all(line[1:] == ["bob", "1", *["0"] * 7, "1"] for line in lines)


async def test_csv_of_nothing_is_its_head(gateway: Gateway) -> None:
    _, text = await asked(gateway, "?by=day&format=csv")
    assert text.splitlines() == [
        "day,requests,errors,refused,promptTokens,completionTokens,reasoningTokens,gpuMs,waitMs,untold"
    ]


async def test_many_rows_hold_up_no_request(gateway: Gateway) -> None:
    """They are written in turns, whole and in order."""
    for number in range(3000):
        gateway.app[LEDGER].refused(f"{number:04}")
    _, report = await asked(gateway, "?by=key")
    assert [row["key"] for row in report["rows"]] == [f"{number:04}" for number in range(3000)]
    _, text = await asked(gateway, "?by=key&format=csv")
    assert [line[:4] for line in text.splitlines()[1:]] == [f"{number:04}" for number in range(3000)]


async def test_a_full_disk_stops_no_request_and_loses_no_count(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is counted, and the counts are written when there is room again."""
    body = {"model": LLM, "messages": MESSAGES}
    ledger, database = gateway.app[LEDGER], gateway.app[DATABASE]
    pages = await database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await database.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    key = "k" * 64
    for number in range(200):  # more rows than fit into the pages that there are
        ledger.refused(f"{key}{number}")
    assert await ask(gateway, OWNER, "/v1/chat/completions", body) == 200
    await until(lambda: database.errors)
    assert await ask(gateway, OWNER, "/v1/chat/completions", body) == 200
    async with gateway.client.get(gateway.url("/metrics"), headers={"X-API-Key": OWNER}) as response:
        assert f"lmgateway_storage_errors_total {float(database.errors)}" in await response.text()
    await database.read(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchone())
    await ledger.close()
    written = await database.read(
        lambda connection: connection.execute("SELECT sum(requests), sum(refused) FROM usage").fetchone()
    )
    assert written == (2, 200)


async def test_it_holds_no_address_prompt_or_answer(gateway: Gateway, tmp_path: Path) -> None:
    """Nor a key: the folder has only names and numbers of who used what."""
    key = await make_key(gateway, "alice")
    body = {"model": LLM, "messages": [{"role": "user", "content": "a secret of ours: xyzzy"}]}
    async with gateway.client.post(
        gateway.url("/v1/chat/completions?note=xyzzy"), json=body, headers=bearer(key)
    ) as response:
        answer = (await response.json())["choices"][0]["message"]["content"]
    assert await ask(gateway, key, "/v1/chat/completions", {**body, "model": "xyzzy"}) in {400, 404}
    await gateway.app[LEDGER].close()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"alice" in stored
    for text in ("xyzzy", answer[:20], "127.0.0.1", key.rpartition(":")[2]):
        assert text.encode() not in stored
