"""LM Studio as the doctor finds it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from lmgateway.cli import discovery
from lmgateway.cli.doctor import lm_studio
from lmgateway.cli.doctor.boxes import missing_models
from lmgateway.cli.doctor.findings import Finding
from lmgateway.config import LMStudio
from lmgateway.simulator import Simulator, Switches
from tests.cli.doctor.conftest import messages
from tests.conftest import StartGateway
from tests.support.studio import running_studio
from tests.support.upstream import ScriptedUpstream, answer

TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
NOWHERE = URL("http://127.0.0.1:9")
LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"


async def examine(config: LMStudio) -> Sequence[Finding]:
    return (await lm_studio.examine(config)).findings


@pytest.mark.parametrize(
    ("token", "level", "message"),
    [
        ("", "problem", "requires an API token."),
        ("wrong", "problem", "rejects lmstudio.api_token."),
        (TOKEN, "ok", "with 6 models."),
    ],
)
async def test_token(studio: tuple[Simulator, str], token: str, level: str, message: str) -> None:
    """Whether it takes ours, which isn't repeated."""
    studio[0].api_token = TOKEN
    [finding] = await examine(LMStudio(base_url=URL(studio[1]), api_token=token))
    assert (finding.level, finding.message.endswith(message)) == (level, True)
    assert token == "" or token not in str(finding)


async def test_profiles_of_models_that_are_not_there(studio: tuple[Simulator, str]) -> None:
    """A profile under a misspelt name would never be in force, and nothing else would say so."""
    profiles = ("qwen2.5-7b-instruct", "qwen2.5-7b-instrukt", "zzz")
    examination = await lm_studio.examine(LMStudio(base_url=URL(studio[1])))
    notes = list(missing_models(profiles, [examination.models]))
    assert messages(notes) == [
        ("note", 'models."qwen2.5-7b-instrukt" is a profile for a model that LM Studio doesn\'t have.'),
        ("note", "models.zzz is a profile for a model that LM Studio doesn't have."),
    ]
    assert notes[0].remedy.startswith("Similar names: qwen2.5-7b-instruct")
    assert notes[1].remedy == "`lmgateway models` shows the names."


async def test_elsewhere(
    studio: tuple[Simulator, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be on another port of this machine than configured: its own settings tell."""
    settings = tmp_path / ".lmstudio" / ".internal" / "http-server-config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"port": URL(studio[1]).port}))
    monkeypatch.setenv("HOME", str(tmp_path))
    findings = await examine(LMStudio(base_url=NOWHERE))
    assert messages(findings) == [("problem", f"Nothing answers at {NOWHERE}. LM Studio is at {studio[1]}.")]


async def test_something_else(upstream: ScriptedUpstream) -> None:
    """It may be LM Studio behind a proxy, so this is no more than a warning."""
    upstream.script = answer(b"{}")
    findings = await examine(LMStudio(base_url=URL(upstream.base_url)))
    assert messages(findings) == [
        ("warning", f"The server at {upstream.base_url} doesn't identify itself as LM Studio.")
    ]


async def test_a_gateway_instead(start_gateway: StartGateway) -> None:
    """It would ask itself."""
    gateway = await start_gateway(str(NOWHERE))
    findings = await examine(LMStudio(base_url=URL(gateway.base_url)))
    message = f"The server at {gateway.base_url} is an lmgateway, not LM Studio."
    assert messages(findings) == [("problem", message)]


async def test_one_that_is_started_meanwhile(
    studio: tuple[Simulator, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't told to be at another address than its own."""
    probe, results = discovery.probe, [discovery.ProbeResult(kind="nothing", base_url=URL(studio[1]))]

    async def late(base_url: URL, *more: Any, **options: Any) -> discovery.ProbeResult:
        return results.pop() if results else await probe(base_url, *more, **options)

    async def found(_token: str) -> discovery.SearchResult:
        return discovery.SearchResult(await probe(URL(studio[1])), runs_without_server=False)

    monkeypatch.setattr(discovery, "probe", late)
    monkeypatch.setattr(discovery, "search", found)
    (finding, *_) = await examine(LMStudio(base_url=URL(studio[1])))
    assert finding.level == "ok"


async def test_https_to_plain_http(studio: tuple[Simulator, str]) -> None:
    """LM Studio speaks no TLS."""
    address = studio[1].replace("http", "https")
    findings = await examine(LMStudio(base_url=URL(address)))
    assert messages(findings) == [("problem", f"The server at {address} doesn't use TLS.")]


async def test_models_cannot_be_managed() -> None:
    """The SDK knows no paths; the proxy does."""

    class Below(Simulator):
        def make_app(self) -> web.Application:
            app = web.Application()
            app.add_subapp("/studio", super().make_app())
            return app

    async with running_studio(Below()) as studio:
        [finding] = await examine(LMStudio(base_url=URL(studio.base_url) / "studio"))
    assert finding.level == "warning"
    assert "its models can't be managed. Models can only be managed if" in finding.message


async def test_clocks_apart() -> None:
    """LM Studio's Date tells its time."""

    async def date_from_yesterday(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(datetime.now(UTC) - timedelta(days=1))

    class Late(Simulator):
        def make_app(self) -> web.Application:
            app = super().make_app()
            app.on_response_prepare.append(date_from_yesterday)
            return app

    async with running_studio(Late()) as studio:
        healthy, clock = await examine(LMStudio(base_url=URL(studio.base_url)))
    assert (healthy.level, clock.level) == ("ok", "warning")
    assert clock.message.startswith("LM Studio's clock and this machine's differ by 864")


@pytest.mark.parametrize(
    ("version", "effect"),
    [
        ("0.4.19", "responses may end after one sentence"),
        ("0.4.19+2", "responses may end after one sentence"),
        ("0.4.20", "failed to parse grammar"),
        ("0.4.20+1", "failed to parse grammar"),
        ("0.4.20-beta.3", "failed to parse grammar"),
        ("0.4.2", None),
        ("0.4.1", None),
        ("0.4.200", None),
        ("0.4.19.1", None),
        ("10.4.20", None),
        ("0.4.4+1", None),
        ("0.4.25", None),
        ("odd", None),
        ("", None),
    ],
)
async def test_a_version_with_a_known_fault(version: str, effect: str | None) -> None:
    """Its effect and what to do, whatever the build is."""
    async with running_studio(Simulator(switches=Switches(version=version))) as studio:
        healthy, *faults = await examine(LMStudio(base_url=URL(studio.base_url)))
    assert (healthy.level, version in healthy.message) == ("ok", True)
    assert [fault.level for fault in faults] == (["warning"] if effect else [])
    assert all(effect is not None and effect in fault.message for fault in faults)
    assert all(fault.remedy.startswith("Install another version of LM Studio.") for fault in faults)


async def test_a_model_that_is_loaded_again(studio: tuple[Simulator, str]) -> None:
    """Several requests at once can do that; the command that unloads the copy is shown."""
    simulator, url = studio
    for identifier in (LLM, f"{LLM}:2", f"{LLM}:3", "mine", "other:2"):
        simulator.load(LLM, identifier)
    simulator.load(EMBEDDING, f"{EMBEDDING}:2")
    _, *copies = await examine(LMStudio(base_url=URL(url)))
    assert [copy.level for copy in copies] == ["warning", "warning"]
    for number, copy in enumerate(copies, 2):
        assert copy.message.startswith(f"{LLM} is loaded as {LLM}, and again as {LLM}:{number}, ")
        assert copy.remedy.endswith(f"`lmgateway unload {LLM} --id {LLM}:{number}`")
