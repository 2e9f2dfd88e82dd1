"""The bodies of the last lists, and the snapshot that is restored from them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

import pytest

from lmgateway.background import DetachedTasks
from lmgateway.boxes import inventory
from lmgateway.boxes.catalogue import Catalogue
from lmgateway.boxes.listing import KnownModel, Listing
from lmgateway.errors import UpstreamUnavailable

KEY, OTHER = KnownModel("key", "llm"), KnownModel("other", "embedding")
INSTANCE = {"id": "fast", "config": {"context_length": 4096, "parallel": 2}}
NATIVE = json.dumps(
    {
        "models": [
            {"key": "key", "type": "llm", "variants": ["key@q4"], "loaded_instances": [INSTANCE]},
            {"key": "other", "type": "embedding", "loaded_instances": [{"id": "other"}]},
        ]
    }
).encode()
SERVED = b'{"data": [{"id": "key"}, {"id": "other"}, {"id": "fast"}], "object": "list"}'
BODIES = {"/api/v1/models": NATIVE, "/v1/models": SERVED}


class Studio:
    """Answers with these bodies, and with 404 for other paths."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bodies = bodies

    async def read(self, path: str) -> tuple[int, bytes]:
        return (200, self.bodies[path]) if path in self.bodies else (404, b"")

    async def list_in(self, catalogue: Catalogue, *, fails: bool = False) -> None:
        if not fails:
            return await catalogue.refresh(self.read, DetachedTasks())
        with pytest.raises(UpstreamUnavailable):
            await catalogue.refresh(self.read, DetachedTasks())
        return None


def restored(bodies: Mapping[str, bytes] = BODIES) -> Catalogue:
    catalogue = Catalogue()
    catalogue.restore(bodies)
    return catalogue


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


# ── The bodies ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_last_bodies_are_kept_as_they_are() -> None:
    catalogue = Catalogue()
    assert catalogue.bodies == {}
    await Studio(BODIES).list_in(catalogue)
    assert catalogue.bodies == BODIES


@pytest.mark.parametrize("native", [None, b'{"error": "Unexpected endpoint"}', b""])
async def test_what_is_no_list_is_not_kept(native: bytes | None) -> None:
    """LM Studio before 0.4 answers its own path with a sentence."""
    catalogue, bodies = Catalogue(), {"/v1/models": SERVED}
    await Studio(bodies if native is None else {**bodies, "/api/v1/models": native}).list_in(catalogue)
    assert catalogue.bodies == bodies


async def test_a_failed_refresh_leaves_the_bodies() -> None:
    catalogue = Catalogue()
    await Studio(BODIES).list_in(catalogue)
    await Studio({}).list_in(catalogue, fails=True)
    assert catalogue.bodies == BODIES


async def test_bodies_are_announced_when_they_have_changed() -> None:
    """The times that LM Studio puts into each list are no change."""
    catalogue, studio, seen = Catalogue(), Studio(BODIES), list[Mapping[str, bytes]]()
    catalogue.on_bodies = seen.append
    timed = [b'{"data":[{"id":"key","created":%d}]}' % time for time in (1, 2)]
    fewer = b'{"data":[{"id":"other","created": 2}]}'
    changes = [SERVED, SERVED, *timed, timed[0], fewer]
    for served in changes:
        studio.bodies = {"/api/v1/models": NATIVE, "/v1/models": served}
        await studio.list_in(catalogue)
        assert catalogue.bodies == studio.bodies
    assert [bodies["/v1/models"] for bodies in seen] == [SERVED, timed[0], fewer]


# ── The restored snapshot ──────────────────────────────────────────────────────────────────────────────────


def test_a_restored_snapshot_knows_the_models_and_has_none_in_memory() -> None:
    """Nobody knows whether the machine has been restarted since. It isn't fresh."""
    catalogue = restored()
    listing = catalogue.listing
    assert [listing.find(name) for name in ("key", "key@q4", "other", "fast")] == [KEY, KEY, OTHER, None]
    assert (listing.instances, listing.details) == ({}, {})
    # As LM Studio's list said: those that aren't instances.
    assert listing.on_demand == {"key"}
    assert (catalogue.find("key"), catalogue.is_fresh, catalogue.bodies) == (KEY, False, BODIES)


def test_a_restored_snapshot_has_the_paths_that_the_sdk_lists_later() -> None:
    catalogue = restored()
    on_disk = {"type": "llm", "modelKey": "key", "path": "pub/key.gguf"}
    catalogue.put_downloaded([inventory.downloaded(on_disk, set())])
    assert catalogue.listing.find("pub/key.gguf") == KEY


def test_openais_list_alone_is_restored() -> None:
    """Of LM Studio before 0.4, and of other servers."""
    catalogue = restored({"/v1/models": SERVED})
    assert catalogue.listing.models.keys() == {"key", "other", "fast"}
    assert (catalogue.listing.instances, catalogue.bodies) == ({}, {"/v1/models": SERVED})


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"models": 7, "data": 7}', b"\xff", b"[" * 100_000])
def test_a_body_that_cannot_be_read_is_ignored(broken: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The other one is used; without one, nothing has changed."""
    catalogue = restored({"/api/v1/models": NATIVE, "/v1/models": broken})
    assert (catalogue.listing.find("key"), catalogue.bodies) == (KEY, {"/api/v1/models": NATIVE})
    (warning,) = warnings(caplog)
    assert "/v1/models" in warning
    before = catalogue.listing
    catalogue.restore({"/api/v1/models": broken, "/v1/models": broken})
    assert (catalogue.listing, catalogue.bodies) == (before, {"/api/v1/models": NATIVE})
    assert len(warnings(caplog)) == 3


def test_nothing_is_restored_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    catalogue = restored({})
    assert (catalogue.listing, catalogue.bodies, warnings(caplog)) == (Listing(), {}, [])


async def test_the_first_list_after_a_restart_is_announced_and_its_bodies_only_if_they_differ() -> None:
    """The scheduler learns what is in memory; nothing is saved again."""
    catalogue, listings, bodies = restored(), list[Listing](), list[Mapping[str, bytes]]()
    catalogue.on_refresh, catalogue.on_bodies = listings.append, bodies.append
    await Studio(BODIES).list_in(catalogue)
    assert (listings, bodies, catalogue.is_fresh) == ([catalogue.listing], [], True)
    assert catalogue.listing.find("fast") == KEY


async def test_a_box_that_falls_asleep_is_restored_from_its_own_bodies() -> None:
    """Its snapshot was fresh, and had instances. It is another version for whoever compares them."""
    catalogue = Catalogue()
    await Studio(BODIES).list_in(catalogue)
    version = catalogue.version
    assert catalogue.listing.find("fast") == KEY
    catalogue.restore(catalogue.bodies)
    assert (catalogue.listing.find("fast"), catalogue.is_fresh) == (None, False)
    assert catalogue.version != version
