"""`lmgateway keys`, beside a real gateway."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lmgateway.cli import machine, main
from lmgateway.cli.demo_key import DEMO_KEY
from lmgateway.cli.machine import LanAddress
from lmgateway.networks import parse_address
from lmgateway.settings import SETTINGS
from tests.cli.conftest import KEY, Commands
from tests.conftest import StartGateway
from tests.support import process
from tests.support.process import lmgateway
from tests.support.upstream import ScriptedUpstream, answer

# `sk-lm-`, eight letters and digits, a colon and twenty more.
FORM = re.compile(r"sk-lm-[A-Za-z0-9]{8}:[A-Za-z0-9]{20}")
CHAT = "qwen2.5-7b-instruct"


class Ended(NamedTuple):
    status: int
    output: str
    errors: str

    @property
    def secret(self) -> str:
        """The only key in the output, which stands there once."""
        [secret] = FORM.findall(self.output)
        return str(secret)

    @property
    def json(self) -> Any:
        return json.loads(self.output)


Keys = Callable[..., Awaitable[Ended]]


@pytest.fixture
def run_here(commands: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Keys:
    """Run a command in a thread beside the gateway: a process for each would take much longer."""
    monkeypatch.chdir(commands.folder)
    for variable in {name for setting in SETTINGS.values() for name in setting.env}:
        monkeypatch.delenv(variable, raising=False)

    async def run(*arguments: str, url: str = commands.gateway.base_url, key: str = KEY) -> Ended:
        status = await asyncio.to_thread(main, [*arguments, "--url", url, "--key", key])
        return Ended(status, *capsys.readouterr())

    return run


@pytest.fixture
def keys(run_here: Keys) -> Keys:
    """Run `lmgateway keys` with these arguments."""

    async def run(*arguments: str, **access: str) -> Ended:
        return await run_here("keys", *arguments, **access)

    return run


async def test_add_prints_the_key_on_a_line_of_its_own(commands: Commands, keys: Keys) -> None:
    """Once, so that it can be copied; an app gets in with it, and reads where."""
    ended = await keys("add", "alice")
    assert (ended.status, ended.errors) == (0, "")
    assert ended.secret in ended.output.splitlines()
    assert "shown only this once" in ended.output
    assert f"{commands.gateway.base_url}/v1 (OpenAI's API) or {commands.gateway.base_url} (" in ended.output
    assert "every request needs a key" not in ended.output
    headers = {"Authorization": f"Bearer {ended.secret}"}
    async with commands.gateway.client.get(commands.gateway.url("/v1/models"), headers=headers) as response:
        assert response.status == 200


async def test_add_names_the_clients_without_a_key(keys: Keys) -> None:
    """An app that can't send a key isn't given one to enter."""
    ended = await keys("add", "tablet", "--address", "192.168.1.7", "--address", "fd00::/64")
    assert ended.output.endswith("\nClients at 192.168.1.7, fd00::/64 need no key.\n")


async def test_every_setting(keys: Keys) -> None:
    """Options become the settings of the API, whose names `--limit` takes in kebab case too."""
    arguments = (
        *("--scope", "inference, models", "--scope", "observe", "--model", "qwen*", "--model", "llama*"),
        *("--limit", "running=2", "--limit", "requests-per-minute=30", "--limit", "tokensPerDay=200000"),
        *("--address", "192.168.1.7", "--address", "fd00::/64", "--share", "2.5", "--class", "background"),
        *("--default-model", CHAT, "--default", "temperature=0.5", "--default", "maxTokens=100"),
        *("--user-header", "X-User", "--expires", "2099-01-31T12:00:00Z", "--note", "a note"),
    )
    made = await keys("add", "chat.app-1", *arguments, "--json")
    assert made.status == 0, made.errors
    assert FORM.fullmatch(made.json["key"])
    expected = {
        "name": "chat.app-1",
        "scopes": ["inference", "models", "observe"],
        "models": ["qwen*", "llama*"],
        "addresses": ["192.168.1.7", "fd00::/64"],
        "share": 2.5,
        "class": "background",
        "model": CHAT,
        "defaultInference": {"temperature": 0.5, "maxTokens": 100},
        "userHeader": "X-User",
        "limits": {"running": 2, "requestsPerMinute": 30, "tokensPerDay": 200_000},
        "note": "a note",
        "expiresAt": "2099-01-31T12:00:00.000Z",
    }
    shown = (await keys("show", "chat.app-1", "--json")).json
    shown["defaultInference"] = {
        name: value for name, value in shown["defaultInference"].items() if value is not None
    }
    assert {name: shown[name] for name in expected} == expected
    assert {**made.json, "key": None} == {**(await keys("show", "chat.app-1", "--json")).json, "key": None}


async def test_set_changes_only_what_it_names(keys: Keys) -> None:
    """Several entries replace the whole list; a limit or a default is set beside the others."""
    await keys("add", "alice", "--model", "a*", "--model", "b*", "--limit", "running=2", "--note", "x")
    changed = await keys("set", "alice", "--model", "c*", "--limit", "tokens-per-day=5")
    assert changed == (0, "The key alice is changed. Its scopes: inference. Its models: c*.\n", "")
    key = (await keys("show", "alice", "--json")).json
    assert (key["models"], key["limits"], key["note"]) == (["c*"], {"running": 2, "tokensPerDay": 5}, "x")


async def test_an_empty_value_takes_a_setting_away(keys: Keys) -> None:
    """Each setting gets its default again."""
    await keys("add", "plain")
    settings = {
        "--scope": ("observe", ""),
        "--model": ("qwen*", ""),
        "--address": ("10.0.0.1", ""),
        "--limit": ("running=2", "running=none"),
        "--share": ("2", ""),
        "--class": ("background", ""),
        "--default-model": (CHAT, ""),
        "--default": ("temperature=0.5", ""),
        "--user-header": ("X-User", ""),
        "--expires": ("30d", "never"),
        "--note": ("a note", ""),
    }
    await keys("add", "alice", *(word for option, (value, _) in settings.items() for word in (option, value)))
    full = (await keys("show", "alice", "--json")).json
    ended = await keys(
        "set", "alice", *(word for option, (_, empty) in settings.items() for word in (option, empty))
    )
    assert ended.status == 0, ended.errors
    own = {"name", "id", "createdAt"}
    key, plain = [(await keys("show", name, "--json")).json for name in ("alice", "plain")]
    assert {name: key[name] for name in key.keys() - own} == {
        name: plain[name] for name in plain.keys() - own
    }
    assert len(full) > len(key)


async def test_all_limits_or_defaults_at_once(keys: Keys) -> None:
    """`--limit ""` takes all of them away."""
    await keys("add", "alice", "--limit", "running=2", "--limit", "tokensPerDay=5", "--default", "topK=3")
    await keys("set", "alice", "--limit", "", "--default", "topK=none")
    key = (await keys("show", "alice", "--json")).json
    assert key["limits"] == {}
    assert set(key.get("defaultInference", {}).values()) <= {None}


@pytest.mark.parametrize(("span", "seconds"), [("12h", 43_200), ("30d", 2_592_000), ("8w", 4_838_400)])
async def test_a_key_expires_after_a_span(keys: Keys, span: str, seconds: int) -> None:
    """Counted from now."""
    key = (await keys("add", "guest", "--expires", span, "--json")).json
    lasts = datetime.fromisoformat(key["expiresAt"]) - datetime.fromisoformat(key["createdAt"])
    # The command reads the clock before the gateway does.
    assert seconds - 30 < lasts.total_seconds() <= seconds


async def test_list(keys: Keys) -> None:
    """A line for each key, by name."""
    assert await keys("list") == (
        0,
        "There are no named keys. `lmgateway keys add NAME` makes one.\n",
        "",
    )
    await keys("add", "bob", "--scope", "inference,models", "--model", "qwen*")
    await keys("add", "alice", "--limit", "requestsPerMinute=30")
    assert await keys("list") == (
        0,
        """\
  NAME   SCOPES            MODELS  LIMITS           LAST USED  EXPIRES
  alice  inference         *       30 requests/min  never      never
  bob    inference,models  qwen*                    never      never
""",
        "",
    )
    assert [key["name"] for key in (await keys("list", "--json")).json["keys"]] == ["alice", "bob"]


async def test_show(keys: Keys) -> None:
    """What is set, and nothing else."""
    made = (await keys("add", "alice", "--note", "laptop", "--json")).json
    ended = await keys("show", "alice")
    rows = [re.split(r"  +", line, maxsplit=1) for line in ended.output.splitlines()]
    assert [row[0] for row in rows] == [
        *("name", "id", "scopes", "models", "share", "class", "note", "made", "last used", "expires")
    ]
    values = dict(rows)
    assert (values["id"], values["note"], values["last used"]) == (made["id"], "laptop", "never")


async def test_show_of_another_key_has_its_use(keys: Keys) -> None:
    """Of a key with limits, for an admin; without the scope `observe` its settings alone."""
    await keys("add", "alice", "--limit", "requestsPerMinute=30")
    assert (await keys("show", "alice")).output.splitlines()[-2:] == [
        "requests this minute  0, 30 left",
        "tokens today          0",
    ]


async def test_the_address_is_where_the_gateway_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo, as `serve --host`, may listen elsewhere than the configuration of this folder says."""
    lan = LanAddress("eth0", parse_address("192.168.1.10"), ip_network("192.168.1.0/24"))
    monkeypatch.setattr(machine, "interfaces", lambda: machine.Interfaces([lan], []))
    async with lmgateway("demo", "--port", "0", cwd=tmp_path) as demo:
        port = await demo.port()
        environ = {"GATEWAY_PORT": str(port), "GATEWAY_API_KEY": DEMO_KEY}
        for action in ("add", "rotate"):
            status, shown = await process.run_here("keys", action, "emma", cwd=tmp_path, **environ)
            assert (status, f"as base URL http://127.0.0.1:{port}/v1 (OpenAI's API)" in shown) == (0, True), (
                shown
            )


OWN = {
    "key": {
        "name": "alice",
        "scopes": ["inference"],
        "models": ["*"],
        "addresses": [],
        "share": 1.0,
        "class": "interactive",
        "limits": {"requestsPerMinute": 30},
        "createdAt": "2026-01-31T12:00:00.000Z",
    },
    "used": {"requestsPerMinute": 3, "tokensPerMinute": 120, "tokensPerDay": 4000},
    "left": {"requestsPerMinute": 27},
}


@pytest.mark.parametrize("name", [(), ("self",)])
async def test_show_without_a_name_is_about_the_key_that_is_sent(
    keys: Keys, upstream: ScriptedUpstream, name: tuple[str, ...]
) -> None:
    """Its use and what is left stand beside its settings; --json prints the response."""
    upstream.script = answer(json.dumps(OWN).encode())
    ended = await keys("show", *name, url=upstream.base_url, key="mine")
    assert ended.output.splitlines()[-3:] == [
        "requests this minute  3, 27 left",
        "tokens this minute    120",
        "tokens today          4,000",
    ]
    assert (await keys("show", "--json", url=upstream.base_url, key="mine")).json == OWN
    assert {(one.method, one.target) for one in upstream.received} == {("GET", "/admin/keys/self")}


async def test_rotate(keys: Keys) -> None:
    """The new key is printed once; the previous one ends at once, or after its grace."""
    admin = ("--scope", "admin")
    first = (await keys("add", "alice", *admin)).secret
    ended = await keys("rotate", "alice", "--grace", "60")
    assert ended.output.startswith("The key alice is replaced. The previous one is valid for 60 s more.\n")
    second = ended.secret
    assert [(await keys("list", key=key)).status for key in (first, second)] == [0, 0]
    ended = await keys("rotate", "alice", key=second)
    assert ended.output.startswith("The key alice is replaced. The previous one is no longer accepted.\n")
    assert ended.secret in ended.output.splitlines()
    assert [(await keys("list", key=key)).status for key in (first, second, ended.secret)] == [77, 77, 0]
    assert FORM.fullmatch((await keys("rotate", "alice", "--json")).json["key"])


async def test_revoke(keys: Keys) -> None:
    """It asks nothing, and says what happened. The key is refused, with a reason that fits."""
    secret = (await keys("add", "alice", "--scope", "admin")).secret
    assert await keys("revoke", "alice") == (
        0,
        "The key alice is revoked: it is no longer accepted, and its requests are ended.\n",
        "",
    )
    ended = await keys("list", key=secret)
    assert (ended.status, ended.output) == (77, "")
    assert "doesn't accept this key: it is wrong, was revoked, or has expired" in ended.errors
    own = (await keys("add", "alice", "--scope", "admin")).secret
    assert (await keys("revoke", "alice", "--json", key=own)).json == {"status": "revoked", "name": "alice"}


async def test_no_other_command_prints_a_key(keys: Keys) -> None:
    """Neither on stdout nor on stderr, as text or as JSON, nor if it is refused."""
    secret = (await keys("add", "alice", "--scope", "inference")).secret
    for as_json in ((), ("--json",)):
        for arguments in (
            ("list",),
            ("show", "alice"),
            ("set", "alice", "--note", "x"),
            ("add", "alice"),
            ("rotate", "nobody"),
        ):
            for key in (KEY, secret):
                ended = await keys(*arguments, *as_json, key=key)
                assert not FORM.search(ended.output + ended.errors), arguments
                assert KEY not in ended.output + ended.errors
    assert not FORM.search("".join(map(str, await keys("revoke", "alice", "--json"))))


FAILURES = [
    pytest.param(["add", "bob", "--scope", "infrence"], 65, "there are inference, tools", id="scope"),
    pytest.param(["add", "Bob"], 65, "name: ", id="name"),
    pytest.param(["add", "alice"], 1, "already. `lmgateway keys set alice` changes it", id="taken"),
    pytest.param(["add", "owner"], 65, "owner has a meaning of its own", id="reserved"),
    pytest.param(["add", "bob", "--limit", "requestPerMinute=3"], 65, "mean requestsPerMinute?", id="limit"),
    pytest.param(
        ["add", "bob", "--limit", "request-per-minute=3"], 65, "mean requestsPerMinute?", id="kebab"
    ),
    pytest.param(["add", "bob", "--limit", "running=abc"], 65, "limits.running", id="no number"),
    pytest.param(["add", "bob", "--limit", "running"], 64, "write NAME=VALUE", id="no value"),
    pytest.param(["add", "bob", "--limit", "running=0"], 65, "limits.running", id="limit of 0"),
    pytest.param(["add", "bob", "--default", "temprature=1"], 65, "mean temperature?", id="default"),
    pytest.param(["add", "bob", "--class", "fast"], 65, "there are interactive, background", id="class"),
    pytest.param(["add", "bob", "--share", "x"], 65, "share", id="share"),
    pytest.param(["add", "bob", "--model", ""], 64, "--model is empty", id="an unset variable"),
    pytest.param(["add", "bob", "--address", "home"], 65, "addresses[0]", id="address"),
    pytest.param(
        ["add", "bob", "--expires", "30x"],
        65,
        "--expires 30x: write 30d or 12h for a span, 2026-01-31 for a date",
        id="date",
    ),
    pytest.param(["add", "bob", "--expires", "1999-01-01"], 65, "in the future", id="past"),
    pytest.param(["add", "bob", "--expires", "999999w"], 65, "Write never", id="beyond the calendar"),
    pytest.param(["set", "alice"], 64, "nothing to change", id="nothing to change"),
    pytest.param(["set", "bob", "--note", "x"], 66, "There is no key bob", id="set unknown"),
    pytest.param(["show", "bob"], 66, "There is no key bob", id="show unknown"),
    pytest.param(["show", ".."], 65, "can't be a key's name", id="path"),
    pytest.param(["revoke", ""], 65, "can't be a key's name", id="empty name"),
    pytest.param(["revoke", "bob"], 66, "There is no key bob", id="revoke unknown"),
    pytest.param(["rotate", "alice", "--grace", "-1"], 65, "graceSeconds", id="grace"),
    pytest.param(["rotate", "alice", "--grace", "1e400"], 65, "graceSeconds", id="endless grace"),
    pytest.param(["add", "bob", "--share", "Infinity"], 65, "share", id="endless share"),
]


@pytest.mark.parametrize(("arguments", "status", "message"), FAILURES)
async def test_exit_status(keys: Keys, arguments: list[str], status: int, message: str) -> None:
    """One line says what to do; nothing is on stdout, and no key is made."""
    await keys("add", "alice")
    ended = await keys(*arguments)
    assert (ended.status, ended.output, ended.errors.count("\n")) == (status, "", 1), ended.errors
    assert message in ended.errors
    assert [key["name"] for key in (await keys("list", "--json")).json["keys"]] == ["alice"]


async def test_the_first_key_needs_no_key(
    run_here: Keys, commands: Commands, start_gateway: StartGateway
) -> None:
    """On the gateway's own machine. It must manage keys, and from then on one is needed."""
    gateway = await start_gateway(commands.studio_url)

    async def run(*arguments: str, key: str = "") -> Ended:
        return await run_here(*arguments, url=gateway.base_url, key=key)

    refused = await run("keys", "add", "me")
    assert (refused.status, refused.output) == (1, "")
    assert "The first key must have the scope admin" in refused.errors
    assert (await run("models")).status == 0
    made = await run("keys", "add", "me", "--scope", "admin")
    assert made.status == 0, made.errors
    assert "From now on every request needs a key." in made.output
    refused = await run("models")
    assert (refused.status, refused.output) == (77, "")
    assert "requires a key" in refused.errors
    assert (await run("models", key=made.secret)).status == 0
    refused = await run("keys", "revoke", "me", key=made.secret)
    assert refused.status == 1
    assert "the last key with the scope admin" in refused.errors


@pytest.mark.parametrize(
    ("arguments", "scope"),
    [
        (["models"], "models"),
        (["activate", CHAT], "models"),
        (["keys", "list"], "admin"),
        (["keys", "add", "bob"], "admin"),
    ],
)
async def test_a_key_with_the_scope_is_enough(run_here: Keys, arguments: list[str], scope: str) -> None:
    """A key without it reads which one is missing."""
    key = (await run_here("keys", "add", "some", "--scope", "inference")).secret
    refused = await run_here(*arguments, key=key)
    assert (refused.status, refused.output) == (77, "")
    assert f"The key some lacks the scope {scope}" in refused.errors
    await run_here("keys", "set", "some", "--scope", scope)
    admitted = await run_here(*arguments, key=key)
    assert admitted.status == 0, admitted.errors


async def test_events_need_observe(commands: Commands, run_here: Keys) -> None:
    key = (await run_here("keys", "add", "some")).secret
    refused = await run_here("events", key=key)
    assert refused.status == 77
    assert "The key some lacks the scope observe" in refused.errors


async def test_the_configured_key_and_address(commands: Commands) -> None:
    """On the gateway's machine the commands need no options, also with a named key in the environment."""
    status, output = await commands.run("keys", "add", "alice", "--scope", "admin")
    assert status == 0, output
    environ = {"GATEWAY_PORT": str(commands.gateway.port), "GATEWAY_API_KEY": FORM.findall(output)[0]}
    status, output = await commands.run_bare("keys", "rotate", "alice", **environ)
    assert status == 0, output
    assert re.search(rf"http://\S+:{commands.gateway.port}/v1 \(OpenAI's API\)", output)
