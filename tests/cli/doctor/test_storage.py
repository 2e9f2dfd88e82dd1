"""What `lmgateway doctor` says about the state folder."""

from __future__ import annotations

import re
import signal

import pytest

from lmgateway.cli.doctor import storage
from tests.cli.doctor.conftest import KEY, Patient, messages
from tests.support.gateway import running_gateway
from tests.support.process import lmgateway


async def test_the_gateway_that_uses_the_folder_is_named(patient: Patient) -> None:
    """As long as it runs, and also by two doctors at once; what a killed one has left behind isn't."""
    path = patient.folder / "lmgateway.db"
    async with lmgateway("serve", cwd=patient.folder) as gateway:
        await gateway.port()
        for _ in range(2):
            ((level, message),) = messages(storage.examine(str(patient.folder)))
            address = f"127.0.0.1:{patient.port}"
            user = f"The folder is in use by process {gateway.pid}, which has served {address} since "
            assert level == "ok"
            assert message.startswith(f"The state is saved in {path}. {user}")
        gateway.send(signal.SIGKILL)
        await gateway.ends()
    assert messages(storage.examine(str(patient.folder))) == [("ok", f"The state is saved in {path}.")]


def test_it_uses_the_folder_itself_not_at_all(patient: Patient) -> None:
    """Nor does it make the lock's file."""
    assert len(messages(storage.examine(str(patient.folder)))) == 1
    assert not (patient.folder / "lmgateway.lock").exists()


async def test_a_damaged_database_that_lies_in_the_folder(patient: Patient) -> None:
    """It may have had keys, so only the owner is admitted; the remedies say how to go on."""
    (patient.folder / "lmgateway.db").write_bytes(b"no database" * 1000)
    async with running_gateway(patient.tables(), patient.port) as gateway:
        _, damaged = storage.examine(str(patient.folder))
        assert damaged.level == "warning"
        assert re.search(
            r"renamed to \S+/lmgateway\.db\.\d+\.broken\. .* only the owner's key", damaged.message
        )
        assert "lmgateway keys add NAME" in damaged.remedy
        headers = {"X-API-Key": KEY}
        async with gateway.client.post(
            f"{gateway.base_url}/admin/keys", json={"name": "alice"}, headers=headers
        ) as response:
            assert response.status == 201
        _, damaged = storage.examine(str(patient.folder))
    assert damaged.level == "note"


def test_a_folder_that_cant_be_locked_is_a_warning(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_descriptor: int, *, shared: bool) -> bool:
        raise OSError(95, "Operation not supported")

    (patient.folder / "lmgateway.lock").touch()
    monkeypatch.setattr("lmgateway.storage.folder_lock.try_lock", fails)
    ((level, message),) = messages(storage.examine(str(patient.folder)))
    assert level == "warning"
    assert message.endswith("but the folder can't be locked: Operation not supported.")
