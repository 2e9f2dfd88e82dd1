"""Several LM Studios as the doctor finds them, and machines that sleep."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from lmgateway import settings
from lmgateway.cli import discovery
from lmgateway.cli.doctor import boxes, configuration, lm_studio
from lmgateway.cli.doctor.boxes import missing_models
from lmgateway.cli.doctor.findings import Finding
from lmgateway.config import LMStudio
from lmgateway.simulator import Pace, Simulator, serve
from tests.cli.doctor.conftest import KEY, Patient, messages
from tests.support.process import lmgateway

TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
NOWHERE = "http://127.0.0.1:9"
MAC = "00:11:22:aa:bb:cc"
NO_SDK = "LM Studio's log can't come over its SDK, which needs an http base_url without a path."
CELLAR = "http://cellar.example:1234"

Configure = Callable[..., None]


@pytest.fixture
async def other() -> AsyncIterator[tuple[Simulator, str]]:
    """A second LM Studio."""
    simulator = Simulator(pace=Pace.instant())
    async with serve(simulator, "127.0.0.1", 0) as port:
        yield simulator, f"http://127.0.0.1:{port}"


@pytest.fixture
def configure(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Write these boxes into the patient's file: `configure({"attic": {"base_url": …}}, common="…")`."""
    monkeypatch.setenv("HOME", str(patient.folder))

    def write(tables: dict[str, dict[str, Any]], common: str = "", models: str = "") -> None:
        lines = [f'[server]\nhost = "127.0.0.1"\nport = {patient.port}\nstate_dir = "{patient.folder}"']
        lines += [f'[auth]\napi_key = "{KEY}"\n[lmstudio]\n{common}']
        for name, table in tables.items():
            lines += [f"[boxes.{name}]", *(f"{key} = {json.dumps(one)}" for key, one in table.items())]
        patient.file.write_text("\n".join([*lines, models]))
        patient.file.chmod(0o600)

    return write


def silent(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Have nothing answer at these hosts, and no connection made to them."""
    probe = discovery.probe

    async def answer(base_url: URL, *more: Any, **options: Any) -> discovery.ProbeResult:
        if base_url.host in hosts:
            return discovery.ProbeResult(base_url=base_url, kind="nothing")
        return await probe(base_url, *more, **options)

    monkeypatch.setattr(discovery, "probe", answer)


async def examined(patient: Patient, **environ: str) -> list[Finding]:
    return await boxes.examine(patient.load(**environ), [])


async def test_each_box_is_examined_and_named(
    patient: Patient, configure: Configure, other: tuple[Simulator, str]
) -> None:
    """In the order of the configuration, each with its own address and token."""
    other[0].api_token = TOKEN
    configure(
        {
            "attic": {"base_url": patient.studio_url},
            "barn": {"base_url": other[1]},
            "cellar": {"base_url": NOWHERE},
        }
    )
    attic, barn, cellar = await examined(patient)
    assert (attic.level, barn.level, cellar.level) == ("ok", "problem", "problem")
    assert attic.message.startswith("Box attic: LM Studio ")
    assert attic.message.endswith(f" is at {patient.studio_url} with 6 models.")
    assert barn.message == f"Box barn: LM Studio at {other[1]} requires an API token."
    assert barn.remedy.endswith(" Set it as boxes.barn.api_token.")
    assert cellar.message == f"Box cellar: Nothing answers at {NOWHERE}."
    assert "check boxes.cellar.base_url." in cellar.remedy


async def test_a_boxs_token_is_sent(
    patient: Patient, configure: Configure, other: tuple[Simulator, str]
) -> None:
    """Its own, or the one that all have."""
    patient_studio = {"base_url": patient.studio_url, "api_token": ""}
    other[0].api_token = TOKEN
    configure({"attic": patient_studio, "barn": {"base_url": other[1]}}, common=f'api_token = "{TOKEN}"')
    assert [finding.level for finding in await examined(patient)] == ["ok", "ok"]
    configure({"attic": patient_studio, "barn": {"base_url": other[1], "api_token": "wrong"}})
    _, refused = await examined(patient)
    assert refused.message.endswith("rejects boxes.barn.api_token.")


async def test_another_boxs_address_is_no_advice(
    patient: Patient, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LM Studio is found on this machine, where it is another box; it says nothing about a remote one."""
    home = patient.folder / ".lmstudio" / ".internal" / "http-server-config.json"
    home.parent.mkdir(parents=True)
    home.write_text(json.dumps({"port": URL(patient.studio_url).port}))
    silent(monkeypatch, "cellar.example")
    for address in (NOWHERE, CELLAR):
        configure({"attic": {"base_url": patient.studio_url}, "cellar": {"base_url": address}})
        _, absent = await examined(patient)
        assert absent.message == f"Box cellar: Nothing answers at {address}."
    configure({"cellar": {"base_url": NOWHERE}})
    [absent] = await examined(patient)
    assert (
        absent.message == f"Box cellar: Nothing answers at {NOWHERE}. LM Studio is at {patient.studio_url}."
    )
    assert absent.remedy == "Set boxes.cellar.base_url to that address."


async def test_a_token_is_not_sent_where_it_must_not_go(
    patient: Patient, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The box is examined without it, and the reason is a problem of the configuration."""
    sent = []

    async def answer(base_url: URL, token: str = "", **_options: Any) -> discovery.ProbeResult:
        sent.append((base_url.host, token))
        return discovery.ProbeResult(base_url=base_url, kind="nothing")

    monkeypatch.setattr(discovery, "probe", answer)
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", TOKEN)
    configure({"attic": {"base_url": "http://127.0.0.2:9"}, "cellar": {"base_url": CELLAR}})
    loaded = settings.load(file=None, environ={"LMSTUDIO_API_TOKEN": TOKEN})
    await boxes.examine(loaded, [])
    assert ("cellar.example", "") in sent
    assert ("cellar.example", TOKEN) not in sent
    assert ("127.0.0.2", TOKEN) in sent
    problems = [one.message for one in configuration.examine(loaded) if one.level == "problem"]
    assert [problem.partition(",")[0] for problem in problems] == ["boxes.cellar.api_token"]


async def test_a_machine_that_may_be_asleep(
    patient: Patient, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no failure; how to let a packet wake it up is said, with what is configured for it."""
    silent(monkeypatch, "cellar.example")
    cellar = {"base_url": CELLAR, "wake_mac": MAC, "wake_address": "10.0.0.255:7"}
    configure({"attic": {"base_url": patient.studio_url}, "cellar": cellar})
    _, asleep = await examined(patient)
    reason = "The machine may be asleep (boxes.cellar.wake_mac is set)."
    assert messages([asleep]) == [("note", f"Box cellar: Nothing answers at {CELLAR}. {reason}")]
    for word in (
        "BIOS or UEFI",
        "Wake on Magic Packet",
        "ethtool -s IFACE wol g",
        "Wake for network access",
        f"The packet for {MAC} is sent to 10.0.0.255:7",
        "set boxes.cellar.wake_address to the broadcast address",
        "Wi-Fi",
    ):
        assert word in asleep.remedy


async def test_a_single_machine_may_be_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    silent(monkeypatch, "cellar.example")
    [asleep] = (await lm_studio.examine(LMStudio(base_url=URL(CELLAR), wake_mac=MAC))).findings
    assert (asleep.level, "(lmstudio.wake_mac is set)" in asleep.message) == ("note", True)


async def test_a_machine_that_refuses_the_connection_is_awake(patient: Patient, configure: Configure) -> None:
    """LM Studio's server is stopped there, which no packet mends."""
    configure({"attic": {"base_url": NOWHERE, "wake_mac": MAC}})
    [absent] = await examined(patient)
    assert messages([absent]) == [("problem", f"Box attic: Nothing answers at {NOWHERE}.")]


def test_a_profile_needs_its_model_on_one_box() -> None:
    """Not on each. Of a box that doesn't answer the models are unknown."""
    profiles = ("one", "two", "thre")
    [note] = missing_models(profiles, [["one", "three"], ["two"]])
    assert messages([note]) == [("note", "models.thre is a profile for a model that no box has.")]
    assert note.remedy == "Similar names: three."
    assert list(missing_models(profiles, [["one", "three"], []])) == []


def test_an_address_that_is_ignored(patient: Patient, configure: Configure) -> None:
    configure({"attic": {"base_url": NOWHERE}})
    (_, finding) = configuration.examine(patient.load(LMSTUDIO_BASE_URL=CELLAR))
    assert finding.level == "warning"
    assert finding.message.startswith(
        "environment (LMSTUDIO_BASE_URL): lmstudio.base_url is ignored, because"
    )
    assert finding.remedy == "Remove it where it is set."


@pytest.mark.parametrize("with_boxes", [True, False])
def test_logs_of_boxes(patient: Patient, configure: Configure, tmp_path: Path, *, with_boxes: bool) -> None:
    """A folder that isn't there, an address without SDK, and one folder for two LM Studios."""
    common = f'log_monitoring = true\nlog_dir = "{tmp_path}"'
    tables: dict[str, dict[str, Any]] = {
        "attic": {"base_url": "http://127.0.0.1:9"},
        "barn": {"base_url": "http://127.0.0.1:10", "log_dir": "nowhere"},
        "cellar": {"base_url": "https://127.0.0.1:11", "log_dir": ""},
        "den": {"base_url": "http://127.0.0.1:12"},
        "edge": {"base_url": "http://127.0.0.1:13", "log_monitoring": False},
    }
    configure(tables if with_boxes else {}, common)
    (_, *findings) = messages(configuration.examine(patient.load()))
    assert findings == (
        [
            ("warning", "Box barn: boxes.barn.log_dir: nowhere isn't a folder."),
            ("warning", f"Box cellar: {NO_SDK}"),
            ("warning", "The boxes attic, den have one log_dir, so each shows the others' log as its own."),
        ]
        if with_boxes
        else []
    )


async def test_the_command_names_the_boxes_beside_a_running_gateway(
    patient: Patient, configure: Configure, other: tuple[Simulator, str]
) -> None:
    """A gateway that uses one of the configured LM Studios has this configuration."""
    async with lmgateway("serve", cwd=patient.folder) as gateway:
        await gateway.port()
        configure({"attic": {"base_url": patient.studio_url}, "barn": {"base_url": other[1]}})
        status, output = await patient.run("doctor", "--json")
        assert status == 0, output
        found = [one["message"] for one in json.loads(output)["findings"] if one["check"] == "LM Studio"]
        assert [message.partition(":")[0] for message in found] == ["Box attic", "Box barn"]
        assert "The running gateway uses" not in output
        configure({"barn": {"base_url": other[1]}, "cellar": {"base_url": NOWHERE}})
        _, output = await patient.run("doctor", "--json")
    used = f"The running gateway uses LM Studio at {patient.studio_url}, not at {other[1]} or {NOWHERE}."
    assert used in [one["message"] for one in json.loads(output)["findings"]]
