"""What `lmgateway doctor` says about named keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmgateway.access.key_uses import KeyUses
from lmgateway.cli.doctor import keys
from lmgateway.cli.doctor.keys import KeyFacts, KnownKey
from lmgateway.storage.keys import SavedKeys
from lmgateway.web.state import DATABASE, KEYS
from tests.cli.doctor.conftest import KEY, Patient, messages
from tests.support.gateway import Gateway, running_gateway
from tests.support.process import lmgateway
from tests.support.upstream import answer, scripted_upstream

# 2026-02-10T12:00:00Z
NOW = 1_770_724_800.0
WEEK_AGO, LONGER_AGO = "2026-02-03T12:00:00.000Z", "2026-02-03T11:59:59.000Z"
USED = "2026-02-10T11:00:00.000Z"
ENDS, ENDS_LATER, ENDED = "2026-02-24T12:00:00.000Z", "2026-02-24T12:00:01.000Z", "2026-02-10T12:00:00.000Z"


def key(**facts: object) -> KnownKey:
    return KnownKey(**{"name": "k", "created_at": WEEK_AGO, "last_used_at": USED, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "level", "message"),
    [
        pytest.param(key(), None, "", id="healthy"),
        pytest.param(key(last_used_at=None), None, "", id="a week old"),
        pytest.param(
            key(last_used_at=None, created_at=LONGER_AGO),
            "note",
            "Made more than 7 days ago, and never used: k.",
            id="unused",
        ),
        pytest.param(key(expires_at=ENDS_LATER), None, "", id="ends in more than 14 days"),
        pytest.param(key(expires_at=ENDS), "note", "Expiring within 14 days: k.", id="ends soon"),
        pytest.param(key(expires_at=ENDED), "note", "Expired, so they are refused: k.", id="expired"),
        pytest.param(
            key(expires_at=ENDED, last_used_at=None, created_at=LONGER_AGO),
            "note",
            "Expired, so they are refused: k.",
            id="expired and unused",
        ),
        pytest.param(key(recent_addresses=4), None, "", id="four addresses"),
        pytest.param(
            key(recent_addresses=5),
            "warning",
            "Used from 5 or more addresses in the last 24 hours: k.",
            id="shared",
        ),
        pytest.param(
            key(recent_addresses=50, addresses=("10.0.0.0/8",)), None, "", id="shared as it is intended"
        ),
        pytest.param(
            key(addresses=("10.0.0.7",), scopes=("admin",)),
            "warning",
            "Clients at the addresses of these keys have all rights without a key: k.",
            id="admin by address",
        ),
        pytest.param(key(scopes=("admin",)), None, "", id="admin"),
        pytest.param(
            key(addresses=("10.0.0.7", "::/0")),
            "warning",
            "The addresses of these keys admit every client without a key: k.",
            id="every address",
        ),
        pytest.param(
            key(scopes=("inference", "tools")),
            "note",
            "With the scope tools, which runs programs on LM Studio's machine: k.",
            id="tools",
        ),
    ],
)
def test_one_key(known: KnownKey, level: str | None, message: str) -> None:
    """A finding if something is odd, and none otherwise."""
    found = messages(keys.examine(KeyFacts((known,), exist=True), NOW))
    assert found == [("ok", "Named keys: 1."), *([(level, message)] if level else [])]


def test_many_keys_are_one_finding() -> None:
    """A hundred expired ones don't fill the screen."""
    expired = tuple(key(name=f"k{number:03}", expires_at=ENDED) for number in range(100))
    _, (_, message) = messages(keys.examine(KeyFacts(expired, exist=True), NOW))
    assert message.endswith(
        "refused: k000, k001, k002, k003, k004, k005, k006, k007, k008, k009, and 90 more."
    )


async def make(gateway: Gateway, name: str, *, key: str = KEY, **settings: object) -> str:
    headers = {"X-API-Key": key} if key else {}
    body = {"name": name, **settings}
    async with gateway.client.post(f"{gateway.base_url}/admin/keys", json=body, headers=headers) as response:
        assert response.status == 201, await response.text()
        return str((await response.json(content_type=None))["key"])


async def test_a_running_gateway_is_asked(patient: Patient) -> None:
    """Only it knows from how many addresses a key is used."""
    async with running_gateway(patient.tables(), patient.port) as gateway:
        await make(gateway, "alice")
        uses: KeyUses = gateway.app[KEYS].uses
        for number in range(6):
            uses.add("alice", f"192.168.1.{number}")
        facts = await keys.read(patient.load())
    assert facts.keys is not None
    assert [(known.name, known.recent_addresses) for known in facts.keys] == [("alice", 6)]


async def test_without_a_gateway_the_database_is_read(patient: Patient) -> None:
    """And left as it is."""
    async with running_gateway(patient.tables(), patient.port) as gateway:
        await make(
            gateway, "alice", scopes=["tools"], addresses=["10.0.0.7"], expiresAt="2099-01-01T00:00:00Z"
        )
        gateway.app[KEYS].uses.add("alice", "10.0.0.7")
        asked = await keys.read(patient.load())
    before = {file.name: file.read_bytes() for file in patient.folder.glob("lmgateway.db*")}
    read = await keys.read(patient.load())
    assert {file.name: file.read_bytes() for file in patient.folder.glob("lmgateway.db*")} == before
    [known], [same] = read.keys or (), asked.keys or ()
    assert (known.name, known.scopes, known.addresses) == ("alice", ("tools",), ("10.0.0.7",))
    assert known.expires_at == "2099-01-01T00:00:00.000Z"
    assert (known.created_at, known.last_used_at) == (same.created_at, same.last_used_at)


async def test_a_fresh_installation_has_no_keys(patient: Patient) -> None:
    """That is no reason for a complaint."""
    facts = await keys.read(patient.load())
    assert messages(keys.examine(facts, NOW)) == [("ok", "There are no named keys.")]


async def test_a_key_that_cant_be_decoded_is_one(patient: Patient) -> None:
    """Of which nothing is known."""
    async with running_gateway(patient.tables(), patient.port) as gateway:
        await make(gateway, "alice")
        await SavedKeys(gateway.app[DATABASE]).save("alice", "{}")
    facts = await keys.read(patient.load())
    assert messages(keys.examine(facts, NOW)) == [("ok", "Named keys: 1.")]


async def test_another_program_gets_no_key(patient: Patient) -> None:
    """The key is sent to an lmgateway only."""
    async with scripted_upstream() as server:
        server.script = answer(json.dumps({"name": "another"}).encode())
        patient.configure(server={"port": int(server.base_url.rpartition(":")[2])})
        facts = await keys.read(patient.load())
    assert facts == KeyFacts((), exist=False)
    assert [request.target for request in server.received] == ["/"]
    assert KEY not in repr(server.received)


async def test_a_gateway_that_refuses_the_key(patient: Patient, tmp_path: Path) -> None:
    """Its keys are unknown if they aren't in this configuration's folder either."""
    tables = patient.tables(server={"state_dir": str(tmp_path / "elsewhere")}, auth={"api_key": "another"})
    async with running_gateway(tables, patient.port):
        for configured, exist in ((KEY, False), ("", True)):
            patient.configure(auth={"api_key": configured})
            facts = await keys.read(patient.load())
            assert (facts.keys, facts.exist) == (None, exist)
            [finding] = keys.examine(facts, NOW)
            assert finding.level == "note"
            assert "requires a key with the scope admin" in finding.message
            assert "GATEWAY_API_KEY" in finding.remedy


async def test_a_gateway_with_named_keys_only(patient: Patient) -> None:
    """No check says that everybody is admitted, or that web pages are refused; no key is printed."""
    patient.configure(auth={"api_key": ""})
    async with lmgateway("serve", cwd=patient.folder) as process:
        await process.line("Only clients on this machine are served, because there is no key")
        status, output = await patient.run("doctor")
        assert status == 0, output
        assert "There is no key, and network.ip_allowlist isn't set" in output
        url = f"http://127.0.0.1:{patient.port}"
        _, made = await patient.run("keys", "add", "me", "--scope", "admin", "--url", url)
        [secret] = [line for line in made.splitlines() if line.startswith("sk-lm-")]
        for environ in ({}, {"GATEWAY_API_KEY": secret}):
            status, output = await patient.run("doctor", **environ)
            assert status == 0, output
            assert "Named keys: 1." in output
            assert output.endswith("0 problems, 0 warnings\n")
            for wrong in ("There is no key", "web pages are refused", "every client", "differs", secret):
                assert wrong not in output
    async with lmgateway("serve", cwd=patient.folder) as process:
        await process.line("Clients need a named key: auth.api_key isn't set.")
