"""`lmgateway init`, run as a user runs it: what it detects, writes and prints."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest

from lmgateway.cli import discovery, first_steps
from lmgateway.cli.discovery import SearchResult
from lmgateway.cli.machine import Interfaces, LanAddress, OtherNetwork
from lmgateway.config import ONLY_BOX
from lmgateway.networks import parse_address
from lmgateway.settings import load
from lmgateway.simulator import Pace, Simulator, serve
from tests.support.process import run_here
from tests.support.terminal import on_terminal
from tests.support.waiting import PATIENCE_SECONDS

MODEL = "qwen2.5-7b-instruct"
TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
MANUAL = (Path(__file__).parents[2] / "config.example.toml").read_text()
NOWHERE = "http://127.0.0.1:9"
ALONE = ("--set", "server.host=127.0.0.1")


@dataclass
class Place:
    """A home folder and a working folder in which nothing was ever set up."""

    home: Path
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def write_port(self, port: int) -> None:
        """Write the settings that LM Studio writes into a home folder."""
        settings = self.home / ".lmstudio" / ".internal" / "http-server-config.json"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps({"port": port, "networkInterface": "127.0.0.1"}))

    async def run(self, *arguments: str, **environ: str) -> tuple[int, str]:
        return await run_here(*arguments, cwd=self.folder, HOME=str(self.home), **environ)

    def key(self) -> str:
        return str(tomllib.loads(self.config.read_text())["auth"]["api_key"])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # The simulator, in this process too, may take longer on a busy machine.
    monkeypatch.setattr(discovery.probe, "__kwdefaults__", {"seconds": PATIENCE_SECONDS})
    for name in ("home", "folder"):
        (tmp_path / name).mkdir()
    return Place(tmp_path / "home", tmp_path / "folder")


@pytest.fixture
async def studio(place: Place) -> AsyncIterator[Simulator]:
    """A pretend LM Studio on the port that its settings in the home folder name."""
    simulator = Simulator(pace=Pace.instant())
    async with serve(simulator, "127.0.0.1", 0) as port:
        place.write_port(port)
        yield simulator


def section(output: str, name: str) -> str:
    """What init printed for one client."""
    return re.split(rf"^# {name}.*\n", output, flags=re.MULTILINE)[1].split("\n\n")[0]


async def test_writes_a_private_file_with_lm_studio_and_a_new_key(place: Place, studio: Simulator) -> None:
    """Beside the new values the file has all of the manual, and `check` accepts it."""
    studio.load(MODEL)
    status, output = await place.run("init")
    assert status == 0, output
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o600
    written = tomllib.loads(place.config.read_text())
    tables = {
        "lmstudio",
        "server",
        "auth",
        "network",
        "logging",
        "proxy",
        "queue",
        "residency",
        "limits",
        "cors",
        "compat",
        "usage",
    }
    assert set(written) == tables
    port = json.loads(next(place.home.rglob("http-server-config.json")).read_text())["port"]
    assert written["lmstudio"] == {"base_url": f"http://127.0.0.1:{port}"}
    assert {"127.0.0.0/8", "::1"} <= set(written["network"]["ip_allowlist"])
    assert re.fullmatch(r"sk-lm-[A-Za-z0-9]{8}:[A-Za-z0-9]{20}", place.key())
    assert place.key() in output
    manual = [line for line in MANUAL.partition("\n\n")[2].splitlines() if not line.startswith("#api_key =")]
    changed = [line for line in manual if line not in place.config.read_text().splitlines()]
    assert [line.partition(" ")[0] for line in changed] == ["#base_url", "#host", "#ip_allowlist"]
    status, shown = await place.run("check")
    assert status == 0
    assert re.search(r'auth.api_key = "\*+" +# config.toml', shown)
    assert list(place.folder.iterdir()) == [place.config]


async def test_finds_lm_studio_by_its_pointer_file(place: Place, studio: Simulator) -> None:
    """LM Studio's folder may be anywhere: the file in the home folder names it."""
    (place.home / ".lmstudio").rename(place.home / "elsewhere")
    (place.home / ".lmstudio-home-pointer").write_text(str(place.home / "elsewhere"))
    status, output = await place.run("init")
    assert status == 0, output
    port = json.loads(next(place.home.rglob("http-server-config.json")).read_text())["port"]
    written = tomllib.loads(place.config.read_text())
    assert written["lmstudio"] == {"base_url": f"http://127.0.0.1:{port}"}


async def test_finds_no_lm_studio(place: Place) -> None:
    """It says how to start it, assumes the usual address, and leaves a placeholder for the model."""
    status, output = await place.run("init", LMSTUDIO_BASE_URL=NOWHERE)
    assert status == 0
    assert "LM Studio doesn't answer. The gateway will connect to http://127.0.0.1:9." in output
    assert "lms server start" in output
    another = "`lmgateway init --force --set lmstudio.base_url=http://ADDRESS:1234`"
    assert f"If it runs on another machine: {another}" in output
    assert "Replace your-model by a model's name" in output
    assert "base_url" not in tomllib.loads(place.config.read_text())["lmstudio"]


async def test_a_folder_is_no_file(place: Place) -> None:
    """--force wouldn't help there."""
    status, output = await place.run("init", "--output", ".")
    assert (status, output) == (73, "lmgateway: . is a folder. Name a file in it, with --output.\n")


async def test_overwrites_nothing(place: Place, studio: Simulator) -> None:
    """--force replaces an existing file, and saves each one before it in a private copy."""
    place.config.write_text("precious")
    status, output = await place.run("init")
    assert (status, place.config.read_text()) == (73, "precious")
    assert output == (
        "lmgateway: config.toml exists already. Your key is auth.api_key in it, and the dashboard's Connect "
        "page has the lines for clients. --force replaces the file, keeps the key, and saves a copy beside "
        "it.\n"
    )
    assert (await place.run("init", "--force"))[0] == 0
    first = place.config.read_text()
    status, output = await place.run("init", "--force")
    assert status == 0
    assert "config.toml.bak1.\nIts key is kept, so clients need no change." in output
    backups = [place.folder / name for name in ("config.toml.bak", "config.toml.bak1")]
    assert [backup.read_text() for backup in backups] == ["precious", first]
    assert {stat.S_IMODE(backup.stat().st_mode) for backup in backups} == {0o600}
    assert tomllib.loads(first)["auth"]["api_key"] == place.key()
    assert len(list(place.folder.iterdir())) == 3


async def test_the_key_is_replaced_when_told_to(place: Place, studio: Simulator) -> None:
    """And it says so, because every client has the previous one."""
    assert (await place.run("init"))[0] == 0
    before = place.key()
    status, output = await place.run("init", "--force", "--new-key")
    assert (status, place.key() != before) == (0, True)
    assert "isn't in the new file: give clients the one below." in output
    assert "is kept" not in output


async def test_ends_with_the_key_and_the_dashboard(place: Place, studio: Simulator) -> None:
    """They don't scroll away above the clients' settings."""
    status, output = await place.run("init", *ALONE)
    assert status == 0
    assert output.splitlines().count(place.key()) == 1
    end = f"\n\n{place.key()}\n\nDashboard, once the gateway runs: http://127.0.0.1:8002/dashboard\n"
    assert output.endswith(end)


@pytest.mark.parametrize("way", ["--output", "LMGATEWAY_CONFIG"])
async def test_may_write_elsewhere(place: Place, studio: Simulator, way: str) -> None:
    """To --output or $LMGATEWAY_CONFIG; through a symbolic link, which stays one."""
    (place.folder / "link.toml").symlink_to(place.home / "real.toml")
    arguments, environ = (("--output", "link.toml"), {}) if way == "--output" else ((), {way: "link.toml"})
    status, output = await place.run("init", *arguments, **environ)
    assert status == 0, output
    assert (place.folder / "link.toml").is_symlink()
    assert "api_key = " in (place.home / "real.toml").read_text()
    command = "`lmgateway serve --config link.toml`" if way == "--output" else "`lmgateway serve`"
    assert f"Start the gateway with {command}" in output
    serve = command.strip("`")
    assert f"\n  {serve.replace('serve', 'keys add alice')}\n" in output


@pytest.mark.parametrize("output", ["nowhere/config.toml", "/dev/null/config.toml"])
async def test_cannot_write(place: Place, output: str) -> None:
    """A missing folder is named, with a status of its own."""
    status, message = await place.run("init", "--output", output, LMSTUDIO_BASE_URL=NOWHERE)
    assert status == 73
    assert re.fullmatch(r"lmgateway: \S+ can't be written: [\w ]+\. Choose a writable folder.*\n", message)


async def test_what_is_set_elsewhere_stays_there(place: Place, studio: Simulator) -> None:
    """A key in the environment would override the file's, so none is written."""
    status, output = await place.run("init", GATEWAY_API_KEY="a key of the environment's")
    assert status == 0
    assert "auth.api_key is set by environment (GATEWAY_API_KEY), which overrides" in output
    assert "api_key" not in tomllib.loads(place.config.read_text())["auth"]
    assert "OPENAI_API_KEY='a key of the environment'\"'\"'s'" in output


async def test_options_are_written(place: Place, studio: Simulator) -> None:
    """They are in the file, and the clients' settings use them."""
    status, output = await place.run(
        "init", *ALONE, "--port", "9000", "--set", "server.names=a.example,b.example"
    )
    assert status == 0
    server = tomllib.loads(place.config.read_text())["server"]
    assert server == {"host": "127.0.0.1", "port": 9000, "names": ["a.example", "b.example"]}
    assert "The gateway will listen at http://127.0.0.1:9000, for this machine only." in output
    assert "export OPENAI_BASE_URL=http://127.0.0.1:9000/v1\n" in output
    export, comment, *lines = section(output, "Codex").splitlines()
    codex = tomllib.loads("\n".join(lines))
    provider = codex["model_providers"][codex["model_provider"]]
    assert comment.endswith("config.toml:")
    assert export == f"export {provider['env_key']}={place.key()}"
    assert (provider["base_url"], provider["wire_api"]) == ("http://127.0.0.1:9000/v1", "responses")


async def test_no_code_gets_into_a_file(place: Place, studio: Simulator) -> None:
    """A QR code of the key is for a terminal."""
    status, output = await place.run("init", "--qr")
    assert status == 0
    assert output.endswith("The QR code is shown on a terminal only, because it contains the key.\n")


async def test_options_of_named_tables_are_written(place: Place, studio: Simulator) -> None:
    """Each table once, with a name that TOML needs in quotes."""
    names = ("models.b.load.seed", 'models."a/b.c".load.gpu.ratio', 'models."a/b.c".defaults.stopStrings')
    options = [part for name in names for part in ("--set", f"{name}=1")]
    status, output = await place.run("init", *ALONE, *options)
    assert status == 0, output
    assert tomllib.loads(place.config.read_text())["models"] == {
        "a/b.c": {"load": {"gpu": {"ratio": 1.0}}, "defaults": {"stopStrings": ["1"]}},
        "b": {"load": {"seed": 1}},
    }


async def test_boxes_are_written_and_looked_for(place: Place, studio: Simulator) -> None:
    """Each at its own address. The one detected here isn't in the file, where it would be a mistake."""
    studio.load(MODEL)
    port = json.loads(next(place.home.rglob("http-server-config.json")).read_text())["port"]
    boxes = {"attic": f"http://127.0.0.1:{port}", "cellar": NOWHERE}
    options = [f"--set=boxes.{name}.base_url={url}" for name, url in boxes.items()]
    status, output = await place.run("init", *ALONE, *options, "--set=lmstudio.call_timeout_ms=5")
    assert status == 0, output
    written = tomllib.loads(place.config.read_text())
    assert written["lmstudio"] == {"call_timeout_ms": 5}
    assert written["boxes"] == {name: {"base_url": url} for name, url in boxes.items()}
    assert f"Box attic: LM Studio is at {boxes['attic']} with 6 models.\n" in output
    assert f"Box cellar: LM Studio doesn't answer at {NOWHERE}. Start LM Studio's server" in output
    assert f"export ANTHROPIC_MODEL={MODEL}" in output
    assert (await place.run("check"))[0] == 0


async def test_a_box_that_requires_a_token(place: Place, studio: Simulator) -> None:
    """The user reads in which table to set it. What the environment sets for all is said once."""
    studio.api_token = TOKEN
    port = json.loads(next(place.home.rglob("http-server-config.json")).read_text())["port"]
    option = f"--set=boxes.attic.base_url=http://127.0.0.1:{port}"
    status, output = await place.run("init", *ALONE, option, LMSTUDIO_API_TOKEN="wrong")
    assert status == 0, output
    assert "Box attic: LM Studio at" in output
    assert "and set boxes.attic.api_token to it in config.toml." in output
    assert output.count("is set by environment") == 1


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--port", "0"], {}, "server.port: 0 is another port at each start"),
        ([], {"GATEWAY_PORT": "http"}, "environment: GATEWAY_PORT: invalid value"),
    ],
)
async def test_bad_settings(
    place: Place, arguments: list[str], environ: dict[str, str], message: str
) -> None:
    """They are reported before anything is written."""
    status, output = await place.run("init", *arguments, LMSTUDIO_BASE_URL=NOWHERE, **environ)
    assert status == 78
    assert message in output
    assert not place.config.exists()


def test_public_networks_are_left_out_and_named(tmp_path: Path) -> None:
    """The user reads which network is left out; no URL at it is printed."""
    path = tmp_path / "config.toml"
    path.write_text('[auth]\napi_key = "k"\n[network]\nip_allowlist = ["192.168.1.0/24"]\n')
    networks = [
        LanAddress(name, parse_address(address), ip_network(f"{address}/24", strict=False))
        for name, address in (("eth0", "192.168.1.10"), ("eth1", "8.8.8.8"))
    ]
    output = first_steps.describe(
        load(file=path, environ={}), {ONLY_BOX: SearchResult(None)}, Interfaces(networks, []), path=path
    )
    assert "Not allowed: 8.8.8.0/24 (eth1), which isn't a private network." in output
    assert "http://192.168.1.10:8002" in output
    assert "http://8.8.8.8" not in output


def test_networks_that_are_no_lan_are_named(tmp_path: Path) -> None:
    """A container's or a VPN's user reads which network stays out, and what to add."""
    path = tmp_path / "config.toml"
    path.write_text('[auth]\napi_key = "k"\n[network]\nip_allowlist = ["192.168.1.0/24", "10.8.0.0/24"]\n')
    others = [
        OtherNetwork("docker0", "containers or virtual machines", "172.17.0.0/16"),
        OtherNetwork("tailscale0", "a VPN", "100.64.0.0/10"),
        OtherNetwork("wg0", "a VPN", "10.9.0.2"),
        OtherNetwork("wg1", "a VPN", "10.8.0.0/24"),
    ]
    output = first_steps.describe(
        load(file=path, environ={}), {ONLY_BOX: SearchResult(None)}, Interfaces([], others), path=path
    )
    expected = (
        ("172.17.0.0/16 (docker0)", "containers or virtual machines", 'them in, add "172.17.0.0/16"'),
        ("100.64.0.0/10 (tailscale0)", "a VPN", 'them in, add "100.64.0.0/10"'),
        ("10.9.0.2 (wg0)", "a VPN", "its machines in, add the VPN's network"),
    )
    assert [line for line in output.splitlines() if line.startswith("Not ")] == [
        f"Not allowed: {network}, which is for {kind}. To let {what} to network.ip_allowlist."
        for network, kind, what in expected
    ]


async def test_asks_for_a_token_that_is_needed(place: Place, studio: Simulator) -> None:
    """On a terminal, until LM Studio accepts it; it isn't echoed, and is written into the file."""
    studio.api_token = TOKEN
    async with on_terminal("init", cwd=place.folder, HOME=str(place.home)) as terminal:
        for typed in ("wrong", TOKEN):
            assert "requires an API token" in await terminal.until("set it later): ")
            terminal.type(f"{typed}\n")
        assert await terminal.ends() == 0
    assert TOKEN not in terminal.shown
    assert tomllib.loads(place.config.read_text())["lmstudio"]["api_token"] == TOKEN
    assert f"export ANTHROPIC_MODEL={MODEL}" in terminal.shown


async def test_says_that_a_token_is_needed(place: Place, studio: Simulator) -> None:
    """Without a terminal it prints where to get the token and where to set it."""
    studio.api_token = TOKEN
    status, output = await place.run("init", LMSTUDIO_API_TOKEN="wrong")
    assert status == 0
    assert re.search(r"requires an API token\. .* Manage Tokens .* set lmstudio.api_token to it", output)
