"""The commands that manage models, run as a user runs them, with a simulated LM Studio behind the gateway."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lmgateway.cli.model_tables import overview
from lmgateway.schema.models import DefaultInference
from lmgateway.simulator.engine.switches import Switches
from lmgateway.web.state import ACTIVE_MODELS
from tests.cli.conftest import KEY, Commands
from tests.support.gate import Gate
from tests.support.process import lmgateway

CHAT, OTHER = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"


async def test_table(commands: Commands) -> None:
    """One line for each instance and for each model that has none, so that a person sees what is what."""
    commands.simulator.load(CHAT)
    commands.simulator.load(CHAT, "second")
    result = await commands.run("activate", CHAT, "--id", "second")
    assert result == (0, "second is now the active model.\n")
    status, output = await commands.run("models")
    assert (status, re.sub(r"[0-9.]+s\n", "0.0s\n", output)) == (
        0,
        """\
        MODEL                                 TYPE       SIZE     CONTEXT
loaded  qwen2.5-7b-instruct                   llm        4.7 GB   4096
active  second                                llm        4.7 GB   4096
        llama-3.2-3b-instruct                 llm        2.0 GB
        qwen2.5-vl-7b-instruct                llm        6.0 GB
        text-embedding-nomic-embed-text-v1.5  embedding  84 MB
        openai/gpt-oss-20b                    llm        12.1 GB
        qwen/qwen3-8b                         llm        5.0 GB

LOADED               BOX       ORIGIN   PINNED  STATE     SLOTS  RUNS  WAITS  IDLE
qwen2.5-7b-instruct  lmstudio  outside  no      resident      4     0      0  0.0s
second               lmstudio  outside  no      resident      4     0      0  0.0s
""",
    )


async def test_activating_a_name_that_lm_studio_does_not_have(commands: Commands) -> None:
    """It is refused with the nearest names and exit status 66 (EX_NOINPUT), unless it is forced."""
    status, output = await commands.run("activate", "qwen2.5-7b")
    assert (status, "nearest on its disk: qwen2.5-7b-instruct" in output, "--force" in output) == (
        66,
        True,
        True,
    )
    assert await commands.run("activate", "qwen2.5-7b", "--force") == (
        0,
        "qwen2.5-7b is now the active model, but LM Studio has no model of that name.\n",
    )


async def test_the_list_is_refreshed_with_watch(commands: Commands) -> None:
    """On a terminal, until Ctrl-C is pressed. JSON is printed once, so both is a mistake."""
    async with commands.on_terminal("models", "--watch", "--interval", "0.2") as terminal:
        await terminal.until(CHAT)
        assert "active" not in terminal.shown
        assert (await commands.run("activate", OTHER))[0] == 0
        await terminal.until(f"active, not loaded  {OTHER}")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ends() == 130
        # A terminal shows ^C where the cursor is; the shell's prompt belongs below.
        assert terminal.shown.endswith("\x1b[J\r\n")
    status, output = await commands.run("models", "--watch", "--json")
    assert (status, "Choose one of --json and --watch" in output) == (64, True)


async def test_without_the_scope_observe_the_swap_is_left_out(commands: Commands) -> None:
    """`models` suffices to list them."""
    status, secret = await commands.run("keys", "add", "ben", "--scope", "models", "--json")
    assert status == 0
    access = ("--url", commands.gateway.base_url, "--key", json.loads(secret)["key"])
    status, output = await commands.run_bare("models", *access)
    assert status == 0
    assert CHAT in output


LOADED = {"modelKey": CHAT, "identifier": CHAT, "type": "llm", "size": None, "contextLength": None} | {
    "active": False
}
RESIDENT: dict[str, object] = {
    "box": "lmstudio",
    "state": "draining",
    "origin": "on-demand",
    "pinned": False,
    "slots": 1200,
    "running": 2,
    "waiting": 3,
    "idleMs": 0,
}
MEMORY = [
    {**LOADED, **RESIDENT},
    {**LOADED, **RESIDENT, "identifier": "second", "origin": "loaded", "pinned": True, "state": "resident"}
    | {"slots": 10**9, "running": 0, "idleMs": 61_000},
]
SWAP: dict[str, object] = {"from": CHAT, "to": OTHER, "state": "draining", "sinceMs": 12_000}


@pytest.mark.parametrize(("eta", "end"), [(40_000, ", done in about 40.0s"), (None, "")])
def test_what_runs_on_those_in_memory(eta: int | None, end: str) -> None:
    """And which one is about to be replaced. While the line is off, any number of requests runs at once."""
    active = {"activeModel": None, "activeEmbeddingModel": None}
    models = {"loaded": MEMORY, "downloaded": []}
    assert [*overview(models, active, {**SWAP, "etaMs": eta})][4:] == [
        "LOADED               BOX       ORIGIN     PINNED  STATE     SLOTS  RUNS  WAITS     IDLE",
        "qwen2.5-7b-instruct  lmstudio  on-demand  no      draining  1,200     2      3     0.0s",
        "second               lmstudio  loaded     yes     resident    any     0      3  0:01:01",
        "",
        f"Replacing {CHAT} with {OTHER}: draining for 12.0s{end}",
    ]
    assert [*overview(models, active, None)][-1].startswith("second ")


async def test_active_without_being_loaded(commands: Commands) -> None:
    """The list names the active model even if LM Studio still has to load it."""
    commands.simulator.load(CHAT)
    await commands.run("activate", OTHER)
    _, output = await commands.run("models")
    assert output.count(OTHER) == 1
    assert f"active, not loaded  {OTHER}" in output
    result = await commands.run("deactivate", "--type", "llm")
    assert result == (0, "No model is active now: requests must name one.\n")
    assert "active" not in (await commands.run("models"))[1]


async def test_active_by_a_name_that_is_not_loaded(commands: Commands) -> None:
    """The model itself stays listed, under the key to load it by."""
    await commands.run("activate", CHAT, "--id", "second")
    _, output = await commands.run("models")
    assert "active, not loaded  second" in output
    assert output.count(CHAT) == 1


async def test_a_second_instance_is_loaded_only_with_another(commands: Commands) -> None:
    """It takes as much memory again, which is rarely intended."""
    commands.simulator.load(CHAT)
    result = await commands.run("load", CHAT)
    hint = "To load one more instance, send `another` (--another)."
    assert result == (0, f"{CHAT} is loaded already and is now the active model. {hint}\n")
    status, output = await commands.run("load", CHAT, "--with", "contextLength=8192")
    assert status == 1
    assert "with a context of 4,096 tokens instead of 8,192" in output
    status, output = await commands.run("load", CHAT, "--another")
    assert (status, output.splitlines()[-1]) == (0, f"{CHAT}:2 is loaded and is now the active model.")


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "JSON"])
async def test_a_smaller_context_is_a_warning(commands: Commands, as_json: bool) -> None:
    """On stderr, so that a script that reads stdout doesn't hide it; once."""
    arguments = ("load", CHAT, "--with", "contextLength=131072", *(["--json"] if as_json else []))
    async with commands.on_terminal(*arguments, stdout=asyncio.subprocess.PIPE) as terminal:
        output, _ = await terminal.process.communicate()
        assert await terminal.ends() == 0
    warning = "LM Studio applied a context of 32,768 tokens instead of 131,072."
    assert terminal.shown.splitlines()[-1] == f"Warning: {warning}"
    message = f"{CHAT} is loaded and is now the active model."
    if as_json:
        answer = json.loads(output)
        assert (answer["message"], answer["warnings"]) == (f"{message} {warning}", [warning])
    else:
        assert output.decode() == f"{message}\n"


async def test_default_parameters(commands: Commands) -> None:
    """`--default` of activate and of load becomes the active model's default parameters."""
    commands.simulator.load(CHAT)
    defaults = ("--default", "temperature=0.7", "--default", "maxTokens=5")
    for command in (("activate", CHAT, "--type", "llm"), ("load", OTHER)):
        status, output = await commands.run(*command, *defaults)
        assert status == 0, output
        active = commands.gateway.app[ACTIVE_MODELS].current.active_model
        assert active is not None
        assert active.model_key == command[1]
        assert active.default_inference == DefaultInference(temperature=0.7, max_tokens=5)


async def test_ctrl_c_leaves_a_load_that_can_be_cancelled(commands: Commands) -> None:
    """The message says that LM Studio continues the load, and which command cancels it."""
    commands.gate.opened.clear()
    async with commands.on_terminal("load", CHAT) as terminal:
        await terminal.until("45.0 %")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ends() == 130
    [cancel] = re.findall(r"run `lmgateway (cancel .*)`", terminal.shown)
    result = await commands.run_bare(*shlex.split(cancel), "--key", KEY)
    assert result == (0, f"The load of {CHAT} was cancelled.\n")


async def test_json(commands: Commands) -> None:
    """Scripts get the gateway's own answers, and nothing else on stdout."""
    commands.simulator.load(CHAT)
    for command, key in (
        (["models"], "loaded"),
        (["activate", CHAT], "status"),
        (["unload", CHAT], "status"),
    ):
        status, output = await commands.run(*command, "--json")
        assert status == 0
        assert key in json.loads(output)


async def test_load_prints_its_progress_as_lines(commands: Commands) -> None:
    """In a log file each quarter is a line, and the result is the last one."""
    commands.gate.opened.clear()
    async with lmgateway("load", CHAT, *commands.access, cwd=commands.folder) as command:
        assert command.process.stdout is not None
        assert await asyncio.wait_for(command.process.stdout.readline(), 20) == f"{CHAT} 25 %\n".encode()
        commands.gate.opened.set()
        status, output = await command.ends()
    assert status == 0
    *progress, last = output.splitlines()
    assert last == f"{CHAT} is loaded and is now the active model."
    assert set(progress) <= {f"{CHAT} {percent} %" for percent in (50, 75, 100)}
    assert "\r" not in output


async def test_load_shows_a_bar_on_a_terminal(commands: Commands) -> None:
    """The bar is one growing line on the terminal, and not part of stdout."""
    commands.gate.opened.clear()
    async with commands.on_terminal("load", CHAT, "--json", stdout=asyncio.subprocess.PIPE) as terminal:
        await terminal.until(f"\r{CHAT} [{'#' * 14:<30}]  45.0 %")
        commands.gate.opened.set()
        output, _ = await terminal.process.communicate()
        assert await terminal.ends() == 0
    assert json.loads(output)["status"] == "loaded"


async def test_error_has_a_line_of_its_own(commands: Commands) -> None:
    """A load that fails half-way doesn't write its reason behind the bar."""
    commands.simulator.switches = Switches(auto_fit=False)
    commands.gate.opened.clear()
    async with commands.on_terminal("load", CHAT, "--with", "contextLength=99999") as terminal:
        await terminal.until("45.0 %")
        commands.gate.opened.set()
        assert await terminal.ends() == 1
    assert terminal.shown.splitlines()[-1].startswith("lmgateway: Failed to load model.")


async def test_load_with_everything(commands: Commands) -> None:
    """Settings, name, time to live and --no-activate reach LM Studio unchanged."""
    names = ("contextLength=8192", "gpu.ratio=0.5", "llamaKCacheQuantizationType=q8_0", "cpuThreads=2")
    raw = ("parallel=2", "useUnifiedKvCache=false")
    settings = [part for name in (*names, *raw) for part in ("--with", name)]
    command = ("load", CHAT, "--id", "mine", "--ttl", "60", "--no-activate", "--json", *settings)
    async with commands.on_terminal(*command, stdout=asyncio.subprocess.PIPE) as terminal:
        output, _ = await terminal.process.communicate()
        await terminal.ends()
    answer = json.loads(output)
    assert (answer["identifier"], answer["activated"]) == ("mine", False)
    assert answer["loadConfig"]["contextLength"] == 8192
    assert answer["loadConfig"]["gpu"]["ratio"] == 0.5
    assert answer["loadConfig"]["llamaKCacheQuantizationType"] == "q8_0"
    assert (answer["loadConfig"]["parallel"], answer["loadConfig"]["useUnifiedKvCache"]) == (2, False)
    assert "Ignored cpuThreads: not a load setting of LM Studio." in terminal.shown
    (instance,) = json.loads((await commands.run("models", "--json"))[1])["loaded"]
    assert (instance["identifier"], instance["ttlMs"], instance["active"]) == ("mine", 60_000, False)


async def test_unload(commands: Commands) -> None:
    """With a name exactly that instance goes; without one, all of the model."""
    for identifier in ("a", "b", "c"):
        commands.simulator.load(CHAT, identifier)
    assert await commands.run("unload", CHAT, "--id", "b") == (0, "Unloaded b.\n")
    assert await commands.run("unload", CHAT) == (0, "Unloaded a, c.\n")


@asynccontextmanager
async def generating(commands: Commands) -> AsyncIterator[None]:
    """Inside, a stream stands still after its first token. It fails if the stream is cut off."""
    gate = Gate(holds="token")
    commands.simulator.pace = gate
    body = {
        "model": CHAT,
        "stream": True,
        "max_tokens": 4,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    url, headers = commands.gateway.url("/v1/chat/completions"), {"X-API-Key": KEY}
    async with commands.gateway.client.post(url, json=body, headers=headers) as response:
        await asyncio.wait_for(gate.reached.wait(), 20)
        yield
        gate.opened.set()
        assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def published(commands: Commands, name: str, *, times: int) -> None:
    """Wait until so many events of this name were published."""
    headers = {"X-API-Key": KEY, "Last-Event-ID": "0"}
    url, seen = commands.gateway.url(f"/debug/stream?types={name}"), 0
    async with asyncio.timeout(20), commands.gateway.client.get(url, headers=headers) as response:
        while seen < times:
            seen += await response.content.readline() == f"event: {name}\n".encode()


async def test_unload_waits_for_requests(commands: Commands) -> None:
    """As long as --wait says. Ctrl-C takes it back."""
    commands.simulator.load(CHAT)
    async with generating(commands):
        status, output = await commands.run("unload", CHAT, "--wait", "0")
        assert status == 1
        assert f"1 request still runs on {CHAT}, so it stays in memory." in output
        await published(commands, "model_drain_end", times=1)
        async with lmgateway("unload", CHAT, *commands.access, cwd=commands.folder) as command:
            await published(commands, "model_drain_start", times=2)
            command.process.send_signal(signal.SIGINT)
            assert (await command.ends())[0] == 130
        await published(commands, "model_drain_end", times=2)
    assert await commands.run("unload", CHAT) == (0, f"Unloaded {CHAT}.\n")


async def test_unload_by_force(commands: Commands) -> None:
    """Cuts off what runs."""
    commands.simulator.load(CHAT)
    with pytest.raises(AssertionError, match="DONE"):
        async with generating(commands):
            result = await commands.run("unload", CHAT, "--force")
            assert result == (0, f"Unloaded {CHAT}.\n")
    assert commands.simulator.memory.instances() == []


async def test_unload_cannot_wait_by_force(commands: Commands) -> None:
    status, output = await commands.run_bare("unload", CHAT, "--force", "--wait", "1")
    assert (status, "not allowed with" in output) == (2, True)


@pytest.mark.parametrize("source", ["file", "environment", ".env", "--set", "--config"])
async def test_gateway_of_this_machine(commands: Commands, source: str) -> None:
    """Where the gateway itself is configured, its commands need no address and no key."""
    file = f'[server]\nport = {commands.gateway.port}\n[auth]\napi_key = "{KEY}"\n'
    environ = {"GATEWAY_PORT": str(commands.gateway.port), "GATEWAY_API_KEY": KEY}
    arguments = []
    match source:
        case "file":
            (commands.folder / "config.toml").write_text(file)
        case ".env":
            (commands.folder / ".env").write_text("".join(f"{name}={environ[name]!r}\n" for name in environ))
        case "--set":
            arguments = ["--set", f"server.port={commands.gateway.port}", "--key", KEY]
        case "--config":
            (commands.folder / "other.toml").write_text(file)
            arguments = ["--config", "other.toml"]
    variables = environ if source == "environment" else {}
    status, output = await commands.run_bare("models", *arguments, **variables)
    assert status == 0, output


async def test_command_line_is_stronger(commands: Commands) -> None:
    """Another gateway than the configured one can be asked, with its own key."""
    status, output = await commands.run("models", GATEWAY_PORT="9", GATEWAY_API_KEY="another key")
    assert status == 0, output
