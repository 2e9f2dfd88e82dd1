"""Values that LM Studio's SDK protocol allows and nothing behind it can use."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lmgateway.boxes.sdk.transport import MAX_MESSAGE_BYTES, MAX_RESPONSE_BYTES
from lmgateway.simulator import Simulator
from lmgateway.simulator.engine.switches import Switches
from lmgateway.text import SENTENCE_CHARACTERS, bounded
from tests.conftest import StartGateway
from tests.hostile_studio.server import hostile_studio
from tests.support.home import QUICK, Home
from tests.support.odd_studio import replace_messages, rewrite_messages
from tests.support.process import run
from tests.support.studio import Studio
from tests.support.waiting import PATIENCE_SECONDS

LLM, OTHER = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"
NAME = '"displayName":"Qwen2.5 7B Instruct"'
SIZE, CONTEXT = '"sizeBytes":4683073184', '"maxContextLength":32768'
HUGE = "1" + "0" * 400
HUGER = "1" + "0" * 5000


async def everything_works(home: Home) -> None:
    """All of it is made of the same records and events."""
    for path in (
        "/admin/models",
        "/admin/models/active",
        "/debug/status",
        "/debug/metrics",
        "/debug/requests",
    ):
        assert (await home.get(path))[0] == 200, path
    async with home.gateway.client.get(home.gateway.url("/metrics")) as response:
        assert response.status == 200
    # A new reader gets the whole history.
    headers = {"Last-Event-ID": "0"}
    async with home.gateway.client.get(home.gateway.url("/debug/stream"), headers=headers) as response:
        assert b"event: connected" in await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (NAME, r'"displayName":"Qwen \ud83d"', {"displayName": "Qwen \ufffd"}),
        (NAME, r'"displayName":"\ude00\ud83d"', {"displayName": "\ufffd\ufffd"}),
        (NAME, f'"displayName":"{"x" * 100_000}"', {"displayName": "x" * 255 + "…"}),
        (NAME, '"displayName":["Qwen"]', {"displayName": LLM}),
        (SIZE, f'"sizeBytes":{HUGE}', {"size": None}),
        (SIZE, f'"sizeBytes":{HUGER}', {"size": None}),
        (SIZE, '"sizeBytes":1e400', {"size": None}),
        (SIZE, '"sizeBytes":NaN', {"size": None}),
        (SIZE, '"sizeBytes":-4683073184', {"size": None}),
        (SIZE, '"sizeBytes":4683073184.0', {"size": 4683073184}),
        (CONTEXT, '"maxContextLength":1e308', {"maxContextLength": None}),
        (CONTEXT, '"maxContextLength":true', {"maxContextLength": None}),
        (CONTEXT, '"maxContextLength":"32768"', {"maxContextLength": None}),
        ('"paramsString":"7B"', r'"paramsString":"\udfff"', {"paramsString": "\ufffd"}),
    ],
)
async def test_one_odd_model_spoils_no_list(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    old: str,
    new: str,
    shown: dict[str, object],
) -> None:
    """Its odd value is repaired or unknown, which is logged once, and the others are listed."""
    home.studio.simulator.load(LLM)
    rewrite_messages(monkeypatch, (old, new))
    for _ in range(3):
        status, listed = await home.get("/admin/models")
        assert status == 200
    assert len(listed["downloaded"]) == 6
    for models in (listed["loaded"], listed["downloaded"]):
        (odd,) = (model for model in models if model["modelKey"] == LLM)
        assert {name: odd[name] for name in shown} == shown
    lines = [record for record in caplog.records if "odd values" in record.getMessage()]
    assert len(lines) == (0 if "184.0" in new else 1)
    assert "xxx" not in caplog.text
    await everything_works(home)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"result":[{', '"result":[7,null,"model",[],{'),
        (f'"modelKey":"{LLM}"', r'"modelKey":"\ud83d"'),
        (f'"modelKey":"{LLM}"', '"modelKey":null'),
        (f'"modelKey":"{LLM}"', '"modelKey":{"a":1}'),
    ],
)
async def test_an_entry_without_a_proper_name_spoils_no_list(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    rewrite_messages(monkeypatch, (old, new))
    status, listed = await home.get("/admin/models")
    assert (status, len(listed["downloaded"])) == (200, 6)
    lines = [record for record in caplog.records if record.name.startswith("lmgateway.")]
    assert len(lines) == (0 if new.endswith("null") else 1)  # null is the same as absent
    await everything_works(home)


@pytest.mark.parametrize(
    "progress",
    [r'"\ud83d"', '"half"', "null", "true", "{}", "[]", "-1", "7", "1e308", "1e400", "NaN", HUGE, HUGER],
)
async def test_an_odd_progress_fails_no_load(
    home: Home, monkeypatch: pytest.MonkeyPatch, progress: str
) -> None:
    """It isn't shown, and those that are go from 0 to 1."""
    rewrite_messages(monkeypatch, ('"progress":', f'"progress":{progress},"was":'))
    async with home.events() as events:
        status, answer = await home.post("load", modelKey=LLM)
        assert (status, answer["identifier"]) == (200, LLM)
        seen: list[tuple[str, dict[str, Any]]] = []
        while not seen or seen[-1][0] != "model_activate":
            seen.append(await asyncio.wait_for(events.get(), PATIENCE_SECONDS))
    shown = [data["progressRaw"] for name, data in seen if name == "model_load_progress"]
    assert all(0 <= fraction <= 1 for fraction in shown)
    await everything_works(home)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (r'"\ud83d"', "\ufffd"),
        (HUGE, None),
        (HUGER, None),
        ("1e400", None),
        ("[" * 100 + "]" * 100, [[[[None]]]]),
        ("4096", 4096),
    ],
)
async def test_odd_load_settings(
    home: Home, monkeypatch: pytest.MonkeyPatch, value: str, shown: object
) -> None:
    """What LM Studio says that it applied is shown in the answer and in an event."""
    field = '"key":"llm.load.contextLength","value":'
    rewrite_messages(monkeypatch, (f"{field}4096", field + value))
    status, answer = await home.post("load", modelKey=LLM)
    assert (status, answer["loadConfig"]["tryMmap"]) == (200, True)
    assert answer["loadConfig"]["contextLength"] == shown
    await everything_works(home)


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [(r'"\ud83d"', "\ufffd"), (f'"{"x" * 10_000}"', "x" * 255 + "…"), ("7", LLM), ("null", LLM)],
)
async def test_an_odd_identifier(
    home: Home, monkeypatch: pytest.MonkeyPatch, identifier: str, shown: str
) -> None:
    """It is saved as the active model's, so it must be text that can be encoded."""
    rewrite_messages(monkeypatch, (f'"identifier":"{LLM}"', f'"identifier":{identifier}'))
    status, answer = await home.post("load", modelKey=LLM)
    assert (status, answer["identifier"]) == (200, shown)
    await everything_works(home)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("Failed to load model", r"Failed \ud83d", "Failed \ufffd. Insufficient"),
        ("Failed to load model", "F" * 100_000, f"{'F' * 1023}…. Insufficient"),
        ('"title":"Failed to load model"', '"title":7', None),
        ('"title":"Failed to load model",', "", None),
        ('"error":{', '"error":{"displayData":{"code":["generic"]},', None),
        ('"cause":"', r'"displayData":{"code":"\ud83d"},"cause":"', "Failed to load model. Insufficient"),
    ],
)
async def test_an_odd_error_is_an_error_of_lm_studio(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    old: str,
    new: str,
    sentence: str | None,
) -> None:
    """In its answer and in the event, however it is spelled; nothing of the gateway's has failed."""
    home.studio.simulator.switches = Switches(auto_fit=False)
    rewrite_messages(monkeypatch, (old, new))
    async with home.events() as events:
        status, answer = await home.post("load", modelKey=LLM, loadConfig={"contextLength": 10**8})
        assert status == 500
        while (event := await asyncio.wait_for(events.get(), PATIENCE_SECONDS))[0] != "error":
            pass
    assert event[1]["error"] == bounded(answer["error"], SENTENCE_CHARACTERS)
    assert answer["error"].startswith(sentence or "")
    assert len(answer["error"]) < 4000
    assert "Traceback" not in caplog.text
    assert event[1]["code"] in {"lm_studio_error", "out_of_memory"}
    await everything_works(home)


async def test_a_message_of_an_unknown_form_fails_only_its_load(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK raises a TypeError on it, which isn't a fault of the gateway's."""
    odd = '{"type":"unloadingOtherJITModel","info":7,"other":'
    rewrite_messages(monkeypatch, ('{"type":"resolved","info":', odd))
    status, answer = await home.post("load", modelKey=LLM)
    assert (status, answer["error"]) == (500, "LM Studio answered in a form that its SDK doesn't know.")
    assert "Traceback" not in caplog.text
    monkeypatch.undo()
    assert (await home.post("load", modelKey=OTHER))[0] == 200


async def test_a_message_of_an_unknown_type_is_skipped(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would print it, and Python's warnings would keep a copy of each one."""
    rewrite_messages(monkeypatch, ('{"type":"resolved"', '{"type":"considered"'))
    assert (await home.post("load", modelKey=LLM))[0] == 200


async def test_a_message_that_is_too_long_ends_its_connection(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't collected, and it isn't parsed."""
    too_long = "x" * MAX_MESSAGE_BYTES
    rewrite_messages(monkeypatch, (NAME, f'"displayName":"{too_long}"'))
    status, answer = await home.get("/admin/models")
    assert (status, "lost" in answer["error"]) == (503, True)
    monkeypatch.undo()
    assert (await home.get("/admin/models"))[0] == 200


@pytest.mark.parametrize("message", ["null", "7", '"x"', "[]", "{", "[" * 3000, '{"type":"rpcResult"}'])
async def test_a_message_that_is_none_ends_the_connection(
    home: Home, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    """The SDK itself blocks the event loop for ever after `null`."""
    replace_messages(monkeypatch, message)
    status, answer = await asyncio.wait_for(home.get("/admin/models"), PATIENCE_SECONDS)
    assert (status, "LM Studio" in answer["error"]) == (503, True)
    monkeypatch.undo()
    assert (await home.get("/admin/models"))[0] == 200


@pytest.mark.parametrize(
    "greeting",
    [b"[" * 3000, b"9" * 5000, b'{"lmstudio":0}', b" " * MAX_RESPONSE_BYTES + b'{"lmstudio":true}'],
    ids=["nested", "huge number", "no", "too long"],
)
async def test_an_odd_greeting_is_an_lm_studio_that_cant_be_reached(
    start_gateway: StartGateway, greeting: bytes
) -> None:
    async with hostile_studio() as studio:
        studio.greeting = greeting
        gateway = await start_gateway(studio.base_url, lmstudio=QUICK)
        status, answer = await Home(gateway, Studio(Simulator())).get("/admin/models")
    assert (status, "can't be reached" in answer["error"]) == (503, True)


@pytest.mark.parametrize("reason", [b'"no"', b"7", b"true", b"[1]", b'{"title":7}', b'"\\ud83d"', b"null"])
async def test_an_odd_reason_is_a_refusal(start_gateway: StartGateway, reason: bytes) -> None:
    """LM Studio refuses the gateway's token, whatever it says about it."""
    async with hostile_studio() as studio:
        studio.authentication = b'{"success":false,"error":%s}' % reason
        gateway = await start_gateway(studio.base_url, lmstudio=QUICK)
        status, answer = await Home(gateway, Studio(Simulator())).get("/admin/models")
    assert (status, "lmstudio.api_token" in answer["error"]) == (503, reason != b"null")


async def test_the_command_lists_them(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home.studio.simulator.load(LLM)
    rewrite_messages(
        monkeypatch, (NAME, r'"displayName":"\ud83d"'), (SIZE, f'"sizeBytes":{HUGER}'), (OTHER, r"\ud83d")
    )
    url = ("--url", home.gateway.base_url)
    status, output = await run("models", *url, cwd=tmp_path)
    assert (status, LLM in output, "\ufffd" in output) == (0, True, True)
    status, output = await run("models", "--json", *url, cwd=tmp_path)
    assert (status, len(json.loads(output)["downloaded"])) == (0, 6)
    rewrite_messages(monkeypatch, ('"progress":', '"progress":1e308,"was":'))
    assert (await run("load", OTHER, *url, cwd=tmp_path))[0] == 0
