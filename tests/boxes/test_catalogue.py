"""The snapshot of what an LM Studio has: its age, and how it is refreshed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from lmgateway.background import DetachedTasks
from lmgateway.boxes import inventory
from lmgateway.boxes.catalogue import Catalogue
from lmgateway.boxes.listing import InstanceDetails, KnownModel, Listing
from lmgateway.errors import UpstreamBroke, UpstreamUnavailable
from tests.support.waiting import until

NATIVE = {"models": [{"key": "key", "type": "llm", "loaded_instances": [{"id": "fast"}]}]}
SERVED = {"data": [{"id": "key"}, {"id": "fast"}]}
ON_DISK = {"type": "llm", "modelKey": "key", "path": "pub/key.gguf"}
KEY = KnownModel("key", "llm")


class Lists:
    """Answers by path, once `gate` is set; counts the requests."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        # Of other paths.
        self.status = 404
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        await self.gate.wait()
        if path not in self.answers:
            return self.status, b""
        return 200, json.dumps(self.answers[path]).encode()


def native() -> Lists:
    return Lists({"/api/v1/models": NATIVE, "/v1/models": SERVED})


async def test_many_at_once_share_one_request() -> None:
    """A crowd that needs the list asks LM Studio for it once."""
    catalogue, lists, tasks = Catalogue(), native(), DetachedTasks()
    lists.gate.clear()
    crowd = [asyncio.create_task(catalogue.refresh(lists.read, tasks)) for _ in range(20)]
    left = asyncio.create_task(catalogue.refresh(lists.read, tasks))
    await asyncio.sleep(0)
    left.cancel()
    lists.gate.set()
    await asyncio.gather(*crowd)
    assert sorted(lists.asked) == ["/api/v1/models", "/v1/models"]
    assert catalogue.listing.find("fast") == KEY
    await asyncio.gather(left, return_exceptions=True)
    await tasks.close()


async def test_a_snapshot_is_fresh_for_five_seconds() -> None:
    """From when it was requested."""
    now = 100.0
    catalogue, lists = Catalogue(clock=lambda: now), native()
    assert not catalogue.is_fresh
    await catalogue.refresh(lists.read, DetachedTasks())
    now = 105.0
    assert catalogue.is_fresh
    now = 105.1
    assert not catalogue.is_fresh


async def test_a_list_that_cannot_be_read_leaves_the_snapshot_as_it_was() -> None:
    """And it doesn't become fresh."""
    now = 0.0
    catalogue, lists = Catalogue(clock=lambda: now), native()
    await catalogue.refresh(lists.read, DetachedTasks())
    now, lists.answers = 10.0, {}
    with pytest.raises(UpstreamUnavailable):
        await catalogue.refresh(lists.read, DetachedTasks())
    assert (catalogue.listing.find("fast"), catalogue.is_fresh) == (KEY, False)

    async def broken(_path: str) -> tuple[int, bytes]:
        raise UpstreamBroke("broken")

    with pytest.raises(UpstreamUnavailable):
        await catalogue.refresh(broken, DetachedTasks())


async def test_a_refusal_says_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    """In the error, and once in the log until LM Studio lists its models again."""
    catalogue, lists, tasks = Catalogue(), Lists({}), DetachedTasks()
    for status in (401, 401, 403, 200, 401, 500):
        lists.status = status
        lists.answers = {"/api/v1/models": NATIVE, "/v1/models": SERVED} if status == 200 else {}
        if status == 200:
            await catalogue.refresh(lists.read, tasks)
            continue
        sentence = "can't be read" if status == 500 else "lmstudio.api_token"
        with pytest.raises(UpstreamUnavailable, match=sentence):
            await catalogue.refresh(lists.read, tasks)
    logged = ["api_token" in record.getMessage() for record in caplog.records]
    assert logged == [True, True, False]


async def test_a_list_hangs_for_five_seconds_after_it_was_not_answered_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or until it is answered; one that is refused doesn't hang."""
    now = 100.0
    catalogue, lists, tasks = Catalogue(clock=lambda: now), native(), DetachedTasks()

    async def refuse(_path: str) -> tuple[int, bytes]:
        raise UpstreamUnavailable("refused")

    with pytest.raises(UpstreamUnavailable, match="refused"):
        await catalogue.refresh(refuse, tasks)
    assert not catalogue.hangs
    monkeypatch.setattr("lmgateway.boxes.catalogue.REFRESH_SECONDS", 0.01)
    lists.gate.clear()
    for ends in ("time", "answer"):
        with pytest.raises(UpstreamUnavailable, match="can't be read"):
            await catalogue.refresh(lists.read, tasks)
        assert catalogue.hangs
        if ends == "time":
            now += 5.1
        else:
            lists.gate.set()
            await catalogue.refresh(lists.read, tasks)
        assert not catalogue.hangs
    await tasks.close()


async def test_the_complete_snapshot_has_what_only_the_sdk_lists() -> None:
    """Models on disk while LM Studio lists those in memory alone; what it lists counts before."""
    catalogue, lists = Catalogue(), native()
    other = {**ON_DISK, "type": "embedding", "modelKey": "other", "path": "pub/other.gguf"}
    same = {**ON_DISK, "type": "embedding"}
    catalogue.put_downloaded([inventory.downloaded(fields, set()) for fields in (same, other)])
    await catalogue.refresh(lists.read, DetachedTasks())
    assert (catalogue.listing.find("other"), catalogue.complete.find("key")) == (None, KEY)
    for name in ("other", "pub/other.gguf"):
        assert catalogue.complete.find(name) == KnownModel("other", "embedding")


@pytest.mark.parametrize("path", ["/api/v0/models", "/v1/models"])
async def test_other_servers_lists_are_read_too(path: str) -> None:
    """LM Studio before 0.4 has no /api/v1, and other servers have only OpenAI's list."""
    catalogue, lists = Catalogue(), Lists({path: SERVED, "/api/v1/models": {"error": "Unexpected endpoint"}})
    catalogue.put_loaded([inventory.loaded({**ON_DISK, "identifier": "fast"}, set())])
    await catalogue.refresh(lists.read, DetachedTasks())
    assert catalogue.listing.find("key") == KnownModel("key")
    # The SDK told the key of this instance.
    assert catalogue.listing.find("fast") == KEY


async def test_paths_are_those_of_models_that_are_listed() -> None:
    """The SDK's list, which has the paths, may be older."""
    catalogue, lists = Catalogue(), native()
    gone = {**ON_DISK, "modelKey": "gone", "path": "pub/gone.gguf"}
    catalogue.put_downloaded([inventory.downloaded(fields, set()) for fields in (ON_DISK, gone)])
    await catalogue.refresh(lists.read, DetachedTasks())
    assert catalogue.listing.find("pub/key.gguf") == KEY
    assert catalogue.listing.find("pub/gone.gguf") is None
    assert catalogue.find("pub/gone.gguf") == KnownModel("gone", "llm")


async def test_a_foreign_instance_does_not_count_as_the_model_of_its_name() -> None:
    """Its name in the list of what is served doesn't mean that the model of that key is loaded on demand."""
    models = [{"key": "a", "loaded_instances": [{"id": "b"}]}, {"key": "b", "loaded_instances": []}]
    lists = Lists({"/api/v1/models": {"models": models}, "/v1/models": {"data": [{"id": "b"}]}})
    catalogue = Catalogue()
    await catalogue.refresh(lists.read, DetachedTasks())
    assert catalogue.listing.find("b") == KnownModel("a")
    assert not catalogue.listing.answers(KnownModel("b"))


def test_the_sdks_lists_map_instances_and_paths_to_models() -> None:
    """Also before any list over HTTP was read."""
    catalogue = Catalogue()
    catalogue.put_downloaded([inventory.downloaded(ON_DISK, set())])
    catalogue.put_loaded([inventory.loaded({**ON_DISK, "identifier": "fast"}, set())])
    assert [catalogue.find(name) for name in ("fast", "pub/key.gguf", "key", "?")] == [KEY, KEY, KEY, None]
    catalogue.put_loaded([])
    assert catalogue.find("fast") is None


async def test_a_change_ends_its_freshness() -> None:
    """Also that of lists that were requested before the change."""
    catalogue, lists, tasks = Catalogue(), native(), DetachedTasks()
    await catalogue.refresh(lists.read, tasks)
    catalogue.expire()
    assert not catalogue.is_fresh
    early = asyncio.create_task(catalogue.refresh(lists.read, tasks))
    lists.gate.clear()
    await until(lambda: len(lists.asked) == 4)
    catalogue.expire()
    lists.gate.set()
    await early
    assert not catalogue.is_fresh
    await catalogue.refresh(lists.read, tasks)
    assert catalogue.is_fresh


async def test_changes_are_announced_before_the_refresh_is_over() -> None:
    """Once for each change, of slots too; whoever waits for the refresh sees what the listener did."""
    catalogue, lists, tasks, seen = Catalogue(), native(), DetachedTasks(), list[Listing]()
    catalogue.on_refresh = seen.append
    for parallel in (2, 2, 3):
        instance = {"id": "fast", "config": {"parallel": parallel}}
        lists.answers = {"/api/v1/models": {"models": [{"key": "key", "loaded_instances": [instance]}]}}
        await catalogue.refresh(lists.read, tasks)
        assert seen[-1].details == {"fast": InstanceDetails(slots=parallel)}
    assert len(seen) == 2


async def test_the_first_snapshot_is_announced_even_if_it_is_empty() -> None:
    """An LM Studio without models is known to have none."""
    catalogue, lists, seen = Catalogue(), Lists({"/api/v1/models": {"models": []}}), list[Listing]()
    catalogue.on_refresh = seen.append
    for _ in range(2):
        await catalogue.refresh(lists.read, DetachedTasks())
    assert seen == [Listing()]


async def test_a_listener_that_fails_breaks_no_refresh() -> None:
    """The event loop's exception handler gets the failure."""
    catalogue, failures = Catalogue(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what["exception"]))
    failure = LookupError("a listener's own")

    def fail(_listing: Listing) -> None:
        raise failure

    catalogue.on_refresh = fail
    await catalogue.refresh(native().read, DetachedTasks())
    assert (catalogue.is_fresh, failures) == (True, [failure])


async def test_a_request_of_before_a_change_is_not_shared() -> None:
    """Its answer doesn't replace a newer one either."""
    catalogue, lists, tasks = Catalogue(), native(), DetachedTasks()
    lists.gate.clear()
    early = asyncio.create_task(catalogue.refresh(lists.read, tasks))
    await until(lambda: len(lists.asked) == 2)
    catalogue.expire()
    late_lists = native()
    await catalogue.refresh(late_lists.read, tasks)
    assert (len(late_lists.asked), catalogue.is_fresh) == (2, True)
    lists.answers = {"/api/v1/models": {"models": []}, "/v1/models": {"data": []}}
    lists.gate.set()
    await early
    assert catalogue.is_fresh
    assert catalogue.find("key") == KEY
