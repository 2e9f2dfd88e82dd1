"""The ledger: what was counted is written, added up, and never lost or counted twice."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from lmgateway.observe.clock import parse_time
from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.faults import Faults
from lmgateway.observe.model_labels import ModelLabels
from lmgateway.observe.record import Conclusion, RequestRecord, make_record
from lmgateway.observe.tokens import TokenCount
from lmgateway.observe.usage import Counts, UsageRow
from lmgateway.storage.database import Database
from lmgateway.storage.ledger import DELETE_SECONDS, LONGEST_PAUSE_SECONDS, WRITE_SECONDS, Ledger
from lmgateway.storage.usage import SavedUsage, Sum, Unsaved
from tests.storage.conftest import warnings
from tests.support.clock import Clock
from tests.support.waiting import until
from tests.support.zone import local_zone

DAY, HOUR = 86_400, 3600
NOON = 1_796_040_000  # 2026-11-30T12:00:00Z
FOREVER = 2**40
MODEL = "qwen/qwen3-8b"


def record(
    key: str = "alice", model: str | None = MODEL, *, ended: float = NOON, tokens: int = 5
) -> RequestRecord:
    """A generation with so many tokens of prompt and of answer together."""
    exchange = Exchange(
        request_id="id",
        client="192.168.1.9",
        method="POST",
        path="/v1/chat/completions",
        cancellation=Cancellation(lambda: None),
        key=key,
        generates=True,
        runs_model=True,
        started=1000.0,
        began=ended - 1.0,
    )
    exchange.resolved(model, stream=False)
    exchange.sent_to("lmstudio")
    exchange.sent = 1000.0
    exchange.answered(200, stream=False, count=TokenCount(prompt_tokens=2, completion_tokens=tokens - 2))
    return make_record(exchange, Conclusion("completed"), 1001.0)


class Opened:
    """A ledger whose LM Studio has `listed` these models."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder, busy_seconds=0)
        self.listed, self.lists, self.keep_days = {MODEL, f"{MODEL}:2"}, 0, 400
        self.answers = asyncio.Event()
        self.answers.set()
        self.labels = ModelLabels(lambda name: name in self.listed, self.list_names, Faults())
        self.ledger = Ledger(
            SavedUsage(self.database),
            self.labels,
            model_of=lambda name: name.removesuffix(":2"),
            keep_days=lambda: self.keep_days,
        )

    async def list_names(self) -> None:
        self.lists += 1
        await self.answers.wait()

    async def total(self) -> Counts:
        return (await self.ledger.usage((), 0, FOREVER, limit=10))[1]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Opened]:
    one = Opened(folder)
    await one.database.open()
    try:
        yield one
    finally:
        await one.ledger.close()
        await one.database.close()


@asynccontextmanager
async def running(work: Callable[[], object]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work())  # type: ignore[arg-type]
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def written(folder: Path) -> list[tuple[object, ...]]:
    """The rows that another program finds."""
    with closing(sqlite3.connect(folder / "lmgateway.db")) as other:
        return other.execute("SELECT * FROM usage ORDER BY hour, key, model, box").fetchall()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_requests_of_a_row_add_up(tmp_path: Path) -> None:
    """By hour, key, model and box; in memory, in the database, and over restarts."""
    async with opened(tmp_path) as first:
        for _ in range(2):
            first.labels.add(record())
        first.labels.add(record(model=f"{MODEL}:2"))
        first.labels.add(record("bob", ended=NOON + HOUR - 1))
        first.labels.add(record("bob", None, ended=NOON + HOUR))
        first.ledger.refused("bob")
    async with opened(tmp_path) as second:
        second.labels.add(record())
        assert (await second.total()).values()[:3] == (6, 0, 1)
    rows = [row[:6] for row in written(tmp_path) if row[6] == 0]
    assert rows == [
        (NOON, "alice", MODEL, "lmstudio", 4, 0),
        (NOON, "bob", MODEL, "lmstudio", 1, 0),
        (NOON + HOUR, "bob", "", "lmstudio", 1, 0),
    ]


async def test_rows_by_any_dimensions(tmp_path: Path) -> None:
    """Sorted in their order, and the same whether the counts are written or not."""
    async with opened(tmp_path) as one:
        for key, model, days in (
            ("bob", MODEL, 0),
            ("alice", MODEL, 1),
            ("alice", None, 0),
            ("bob", MODEL, 0),
        ):
            one.labels.add(record(key, model, ended=NOON - days * DAY))
        for _ in ("in memory", "written"):

            async def by(*names: str) -> list[tuple[tuple[str | int, ...], int]]:
                sums, total = await one.ledger.usage(names, 0, FOREVER, limit=10)  # type: ignore[arg-type]
                assert total == Counts(4, prompt_tokens=8, completion_tokens=12, gpu_ms=4000)
                return [(values, counts.requests) for values, counts in sums]

            with local_zone("UTC"):
                assert await by("day", "key") == [
                    (("2026-11-29", "alice"), 1),
                    (("2026-11-30", "alice"), 1),
                    (("2026-11-30", "bob"), 2),
                ]
                assert await by("month") == [(("2026-11",), 4)]
            assert await by("model", "key") == [
                (("", "alice"), 1),
                ((MODEL, "alice"), 1),
                ((MODEL, "bob"), 2),
            ]
            assert await by("hour") == [((NOON - DAY,), 1), ((NOON,), 3)]
            assert await by("box") == [(("lmstudio",), 4)]
            assert await by() == [((), 4)]
            assert len((await one.ledger.usage(("key",), 0, FOREVER, limit=1))[0]) == 1
            await one.ledger.close()


async def test_nothing_used(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        for by in ((), ("day", "key")):
            assert await one.ledger.usage(by, 0, FOREVER, limit=10) == ([], Counts())  # type: ignore[arg-type]


async def test_until_is_exclusive(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        for hours in range(4):
            one.labels.add(record(ended=NOON + hours * HOUR))
        sums, total = await one.ledger.usage(("hour",), NOON + HOUR, NOON + 3 * HOUR, limit=10)
        assert [values for values, _ in sums] == [(NOON + HOUR,), (NOON + 2 * HOUR,)]
        assert total.requests == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no tzset")
@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Asia/Kolkata", "2026-11-30", 24),
    ],
)
async def test_days_are_those_of_the_local_zone(tmp_path: Path, zone: str, day: str, hours: int) -> None:
    """Each hour of a day counts for it, and no other, also when the clock is changed."""
    with local_zone(zone):
        begin = int(parse_time(day))
        async with opened(tmp_path) as one:
            for quarter in range(-4, 4 * hours + 4):
                one.labels.add(record(ended=begin + quarter * 900))
            for _ in ("in memory", "written"):
                sums, _ = await one.ledger.usage(("day",), 0, FOREVER, limit=10)
                assert [counts.requests for _, counts in sums] == [4, 4 * hours, 4]
                assert sums[1].values == (day,)
                await one.ledger.close()


async def test_tokens_of_each_key_since_midnight(tmp_path: Path) -> None:
    """A day's limit goes on after a restart."""
    async with opened(tmp_path) as one:
        one.labels.add(record("alice", tokens=1000, ended=NOON - DAY))
        one.labels.add(record("alice", tokens=30))
        one.labels.add(record("bob", tokens=7))
    async with opened(tmp_path) as one:
        one.labels.add(record("alice", tokens=5))
        assert await one.ledger.tokens_since(NOON - HOUR / 2) == {"alice": 35, "bob": 7}
        assert await one.ledger.tokens_since(NOON + HOUR) == {}


async def test_counts_are_written_within_a_second(tmp_path: Path, clock: Clock) -> None:
    """In one transaction, and nothing while nothing is new."""
    async with opened(tmp_path) as one, running(one.ledger.write_regularly):
        await clock.pass_seconds(WRITE_SECONDS)
        assert written(tmp_path) == []
        for key in ("alice", "bob"):
            one.labels.add(record(key))
        await clock.pass_seconds(WRITE_SECONDS)
        await until(lambda: written(tmp_path))
        assert [row[1] for row in written(tmp_path)] == ["alice", "bob"]


async def test_a_slow_disk_delays_counts_by_less_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of each commit is 0.4 s here. A request that ends during one is written by the next one."""
    loop = asyncio.get_running_loop()
    now, counted, slow = loop.time(), 0, 0.4
    async with opened(tmp_path) as one:
        with monkeypatch.context() as patched:
            patched.setattr(loop, "time", lambda: now)

            async def add_slowly(_: SavedUsage, rows: Unsaved) -> None:
                nonlocal counted
                requests = sum(counts.requests for counts in rows.values())
                await asyncio.sleep(slow)
                counted += requests

            patched.setattr(SavedUsage, "add", add_slowly)
            async with running(one.ledger.write_regularly):
                ended: list[float] = []
                for step in range(500):
                    one.labels.add(record())
                    ended.append(now)
                    assert sum(at < now - 1 for at in ended) <= counted <= len(ended), step
                    now += 0.02
                    for _ in range(20):  # turns of the loop, in which no time passes
                        await asyncio.sleep(0)
                assert counted > 400


async def test_what_can_not_be_written_is_written_later(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each failure is logged and counted; the pause after it grows; no count is lost or doubled."""
    async with opened(tmp_path) as one, running(one.ledger.write_regularly):
        with closing(sqlite3.connect(tmp_path / "lmgateway.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            pause = WRITE_SECONDS
            for failures in range(1, 9):
                one.labels.add(record())
                await clock.pass_seconds(pause)
                await until(lambda: one.database.errors == failures)  # noqa: B023 - waited for in this round
                assert (await one.total()).requests == failures
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            other.execute("ROLLBACK")
        assert pause == LONGEST_PAUSE_SECONDS
        assert [("can't be saved in" in text) for text in warnings(caplog)] == [True] * 8
        await clock.pass_seconds(pause)
        await until(lambda: written(tmp_path))
        assert written(tmp_path)[0][4] == 8
        one.labels.add(record())
        await clock.pass_seconds(WRITE_SECONDS)
        await until(lambda: written(tmp_path)[0][4] == 9)


async def test_what_ends_while_a_write_fails_is_counted_too(tmp_path: Path) -> None:
    """A request may end at any moment, also before the failure is known."""
    async with opened(tmp_path) as one:
        with closing(sqlite3.connect(tmp_path / "lmgateway.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            one.labels.add(record())
            writing = asyncio.create_task(one.ledger.close())
            await asyncio.sleep(0)  # now its row is with the database
            one.labels.add(record())
            one.labels.add(record("bob"))
            await writing
            other.execute("ROLLBACK")
        assert (await one.total()).requests == 3
    assert [(row[1], row[4]) for row in written(tmp_path)] == [("alice", 2), ("bob", 1)]


async def test_an_answer_never_misses_what_is_being_written(tmp_path: Path) -> None:
    """Nor counts it twice, whenever it is asked for."""
    async with opened(tmp_path) as one:
        for number in range(1, 30):
            one.labels.add(record())
            _, total, *_ = await asyncio.gather(one.ledger.close(), one.total(), one.ledger.close())
            assert total is not None
            assert total.requests == number


async def test_a_read_only_folder_keeps_the_counts_in_memory(
    tmp_path: Path, make_read_only: Callable[[Path], None]
) -> None:
    """The saved ones are still read, and nothing raises."""
    async with opened(tmp_path) as one:
        one.labels.add(record())
    make_read_only(tmp_path)
    async with opened(tmp_path) as one:
        one.labels.add(record())
        await one.ledger.close()
        assert one.database.errors == 1
        assert (await one.total()).requests == 2


async def test_old_rows_are_deleted_at_the_start_and_once_a_day(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `usage.keep_days`."""
    now = [float(NOON)]
    monkeypatch.setattr("lmgateway.storage.ledger.unix_time", lambda: now[0])
    async with opened(tmp_path) as one:
        for days in (0, 1, 2, 3):
            one.labels.add(record(ended=NOON - days * DAY))
        await one.ledger.close()
        one.keep_days = 2
        async with running(one.ledger.delete_regularly):
            await until(lambda: len(written(tmp_path)) == 3)
            for rows in (2, 1):
                await one.total()  # the deletion has returned
                await asyncio.sleep(0)
                now[0] += DAY
                await clock.pass_seconds(DELETE_SECONDS)
                await until(lambda: len(written(tmp_path)) == rows)  # noqa: B023 - waited for in this round
            assert written(tmp_path)[0][0] == NOON


async def test_a_name_that_is_not_listed_yet_waits_for_a_newer_list(tmp_path: Path, clock: Clock) -> None:
    """A model that was made a minute ago isn't "other", and what clients invent is."""
    async with opened(tmp_path) as one, running(one.ledger.write_regularly):
        one.labels.add(record(model="new"))
        one.labels.add(record(model="invented"))
        assert one.lists == 0
        one.listed.add("new")
        await clock.pass_seconds(WRITE_SECONDS)
        await until(lambda: written(tmp_path))
        assert (one.lists, [row[2] for row in written(tmp_path)]) == (1, ["new", "other"])


async def test_lm_studio_that_sends_no_list_holds_up_only_its_names(tmp_path: Path, clock: Clock) -> None:
    """At the end they are counted without a list."""
    async with opened(tmp_path) as one:
        one.answers.clear()
        async with running(one.ledger.write_regularly):
            one.labels.add(record(model="new"))
            one.labels.add(record())
            for _ in range(2):
                await clock.pass_seconds(WRITE_SECONDS)
            await until(lambda: written(tmp_path))
            assert [row[2] for row in written(tmp_path)] == [MODEL]
        assert one.lists == 1
    assert [row[2] for row in written(tmp_path)] == ["other", MODEL]


async def test_it_holds_no_address_and_nothing_that_people_wrote(tmp_path: Path) -> None:
    """Only names of keys and models, and numbers."""
    async with opened(tmp_path) as one:
        one.labels.add(record())
    assert written(tmp_path) == [(NOON, "alice", MODEL, "lmstudio", 1, 0, 0, 2, 3, 0, 1000, 0, 0)]
    assert UsageRow._fields == ("hour", "key", "model", "box")
    assert Sum._fields == ("values", "counts")
