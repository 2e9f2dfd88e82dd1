"""What listens on the gateway's port."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from lmgateway.cli import machine
from lmgateway.cli.doctor.listening import examine
from lmgateway.cli.doctor.processes import examine_age
from lmgateway.cli.machine import LanAddress
from lmgateway.config import Config, decode_custom
from lmgateway.networks import parse_address
from tests.cli.doctor.conftest import Patient, messages
from tests.support.gateway import running_gateway
from tests.support.process import lmgateway
from tests.support.upstream import ScriptedUpstream, answer

# Loopback is a network of 16 million addresses on Linux: the second one is another address of this machine.
SECOND = LanAddress("lo", parse_address("127.0.0.2"), ip_network("127.0.0.0/8"))


def config(patient: Patient, **changed: dict[str, Any]) -> Config:
    return msgspec.convert(patient.tables(**changed), Config, dec_hook=decode_custom)


async def test_port_is_free(patient: Patient) -> None:
    """A gateway that doesn't run is no problem: perhaps it is to be started next."""
    findings = await examine(config(patient), [])
    assert messages(findings) == [("note", f"The gateway isn't running. Port {patient.port} is free.")]


async def test_any_port(patient: Patient) -> None:
    """Where a gateway with port 0 listens can't be known."""
    [finding] = await examine(config(patient, server={"port": 0}), [])
    assert finding.level == "note"


async def test_port_is_taken(patient: Patient, upstream: ScriptedUpstream) -> None:
    """The message names the program, where its name is known."""
    upstream.script = answer(b"<html>")
    port = int(upstream.base_url.rpartition(":")[2])
    [finding] = await examine(config(patient, server={"port": port}), [])
    assert finding.level == "problem"
    assert finding.message.startswith(f"Port {port} is taken by ")
    assert "(process " in finding.message


async def test_address_is_another_machines(patient: Patient) -> None:
    """No request is sent to an address of another machine: a stranger would answer it."""
    findings = await examine(config(patient, server={"host": "203.0.113.1"}), [])
    message = "The gateway can't listen at 203.0.113.1, which isn't an address of this machine."
    assert messages(findings) == [("problem", message)]


async def test_port_is_lm_studios(patient: Patient) -> None:
    """Both want a port of their own."""
    port = int(patient.studio_url.rpartition(":")[2])
    [finding] = await examine(config(patient, server={"port": port}), [])
    assert finding.message.startswith(f"Port {port} is taken by LM Studio itself (")


async def test_port_is_held_in_silence(patient: Patient) -> None:
    """The message has the system's reason."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", patient.port))
        findings = await examine(config(patient), [])
    why = f"it can't listen on 127.0.0.1 port {patient.port}: Address already in use."
    assert messages(findings) == [("problem", f"The gateway isn't running, and {why}")]


async def test_gateway_of_before(patient: Patient, install_metadata: Callable[..., None]) -> None:
    """One that was started before a newer version was installed goes on as the older one."""
    async with lmgateway("serve", cwd=patient.folder) as gateway:
        await gateway.port()
        assert list(examine_age(patient.port)) == []
        install_metadata()
        (finding,) = examine_age(patient.port)
    assert finding.level == "warning"
    assert finding.message.startswith(f"The running gateway (process {gateway.pid}) was started before")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"auth": {"api_key": "another key"}}, "The running gateway's key differs"),
        (
            {"lmstudio": {"base_url": "http://127.0.0.1:9"}},
            "The running gateway uses LM Studio at http://127",
        ),
    ],
)
async def test_gateway_of_another_configuration(
    patient: Patient, changed: dict[str, dict[str, object]], message: str
) -> None:
    """What was changed since it started isn't in force yet."""
    async with running_gateway(patient.tables(), patient.port):
        runs, finding = await examine(config(patient, **changed), [])
    assert (runs.level, finding.level, finding.message[: len(message)]) == ("ok", "warning", message)


async def test_gateway_that_refuses_this_machine(patient: Patient) -> None:
    """It can't be looked at, and that may be right."""
    tables = patient.tables(network={"ip_allowlist": ["192.168.1.0/24"]})
    async with running_gateway(tables, patient.port):
        [finding] = await examine(config(patient), [])
    assert (finding.level, "refuses this machine" in finding.message) == ("note", True)


@pytest.mark.parametrize(("host", "level"), [("0.0.0.0", "ok"), ("127.0.0.1", "warning")])
async def test_own_address_in_the_lan(patient: Patient, host: str, level: str) -> None:
    """Configured for every address, a gateway that has only one of them was started before that."""
    async with running_gateway(patient.tables(), patient.port, host=host):
        runs, finding = await examine(config(patient, server={"host": "0.0.0.0"}), [SECOND])
    assert (runs.level, finding.level) == ("ok", level)
    assert f"http://127.0.0.2:{patient.port}" in finding.message


@pytest.mark.parametrize(
    ("is_container", "message"), [(True, "the published port."), (False, "Other machines")]
)
async def test_the_address_of_a_container(
    patient: Patient, is_container: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usually no other machine reaches it: its host forwards a port."""
    monkeypatch.setattr(machine, "is_container", lambda: is_container)
    async with running_gateway(patient.tables(), patient.port, host="0.0.0.0"):
        _, finding = await examine(config(patient, server={"host": "0.0.0.0"}), [SECOND])
    assert (finding.level, message in finding.message) == ("ok", True)
