"""A secret never goes to a host that a less trusted source names."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.config import ONLY_BOX
from lmgateway.errors import ConfigError
from lmgateway.settings import destinations, files
from lmgateway.settings.destinations import is_this_machine

KEY, TOKEN = "Open Sesame", "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
HOST, URL = "evil.example", "http://evil.example:1234"
# Each writes a secret or a host by its name in TOML, and by its variable.
SECRETS = {"auth.api_key": ("GATEWAY_API_KEY", KEY), "lmstudio.api_token": ("LMSTUDIO_API_TOKEN", TOKEN)}
HOSTS = {"auth.api_key": ("server.host", "GATEWAY_HOST", HOST)}
HOSTS["lmstudio.api_token"] = ("lmstudio.base_url", "LMSTUDIO_BASE_URL", URL)
WEAK = ("./config.toml", "./.env")


class Sources:
    """Where settings come from, gathered before they are loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "visited"
        self.elsewhere = folder / "elsewhere"
        for made in (self.folder, self.elsewhere):
            made.mkdir()
        self.chosen: Path | None = None
        self.environ: dict[str, str] = {}
        self.command_line: dict[str, str] = {}

    def set(self, source: str, path: str, variable: str, value: str) -> None:
        match source:
            case "command line":
                self.command_line[path] = value
            case "environment":
                self.environ[variable] = value
            case "credential":
                self.environ["CREDENTIALS_DIRECTORY"] = str(self.elsewhere)
                (self.elsewhere / variable).write_text(value)
            case "./.env":
                self._append(self.folder / ".env", f"{variable}='{value}'\n")
            case _:
                self._append(self._toml(source), f"{path} = '{value}'\n")

    def _toml(self, source: str) -> Path:
        """The TOML file of this source, to which the source leads."""
        here = self.folder / "config.toml"
        file = {"./config.toml": here, "/etc": self.elsewhere / "machine" / "config.toml"}.get(
            source, self.elsewhere / "mine.toml"
        )
        match source:
            case "--config":
                self.chosen = file
            case "$LMGATEWAY_CONFIG":
                self.environ["LMGATEWAY_CONFIG"] = str(file)
            case "LMGATEWAY_CONFIG in ./.env":
                self._append(self.folder / ".env", f"LMGATEWAY_CONFIG='{file}'\n")
            case "link in the folder":
                here.symlink_to(file)
        return file

    def _append(self, file: Path, text: str) -> None:
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as opened:
            opened.write(text)

    def load(self) -> settings.Loaded:
        return settings.load(file=self.chosen, environ=self.environ, command_line=self.command_line)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """A current folder that another user may have filled, and a folder elsewhere."""
    made = Sources(tmp_path)
    monkeypatch.chdir(made.folder)
    machine = made.elsewhere / "machine"
    monkeypatch.setattr(files, "DEFAULT_PATHS", (files.DEFAULT_PATHS[0], machine / "config.toml"))
    return made


REFUSED = [
    ("environment", "./config.toml"),
    ("environment", "./.env"),
    ("environment", "LMGATEWAY_CONFIG in ./.env"),
    ("credential", "./config.toml"),
    ("credential", "./.env"),
    ("--config", "./.env"),
    ("$LMGATEWAY_CONFIG", "./.env"),
    ("/etc", "./.env"),
    ("./.env", "./config.toml"),
    ("LMGATEWAY_CONFIG in ./.env", "./.env"),
    ("link in the folder", "./.env"),
]
ALLOWED = [
    *((source, source) for source in ("environment", "./.env", "./config.toml", "--config", "/etc")),
    ("LMGATEWAY_CONFIG in ./.env", "LMGATEWAY_CONFIG in ./.env"),
    ("./config.toml", "./.env"),
    ("./config.toml", "environment"),
    ("./.env", "/etc"),
    ("environment", "command line"),
    ("environment", "--config"),
    ("environment", "$LMGATEWAY_CONFIG"),
    ("environment", "/etc"),
    ("credential", "environment"),
    ("credential", "/etc"),
    ("/etc", "environment"),
    ("./.env", "command line"),
]


def set_both(sources: Sources, setting: str, secret_from: str, host_from: str, host: str = "") -> None:
    variable, secret = SECRETS[setting]
    sources.set(secret_from, setting, variable, secret)
    path, host_variable, usual = HOSTS[setting]
    sources.set(host_from, path, host_variable, host or usual)


def why_not(setting: str, loaded: settings.Loaded) -> str | None:
    if setting == "auth.api_key":
        return destinations.why_not_to_gateway(loaded)
    return destinations.why_not_to_lm_studio(loaded, ONLY_BOX)


@pytest.mark.parametrize("setting", SECRETS)
@pytest.mark.parametrize(("secret_from", "host_from"), REFUSED)
def test_a_less_trusted_source_chooses_no_receiver(
    sources: Sources, setting: str, secret_from: str, host_from: str
) -> None:
    """The sentence names both sources, says where the secret would go, and what to do. It has no secret."""
    set_both(sources, setting, secret_from, host_from)
    loaded = sources.load()
    problem = why_not(setting, loaded)
    assert problem is not None
    path = HOSTS[setting][0]
    for named in (setting, path, HOST, loaded.origins[setting], loaded.origins[path], path):
        assert named in problem
    assert "in the same source" in problem
    assert SECRETS[setting][1] not in problem


@pytest.mark.parametrize("setting", SECRETS)
@pytest.mark.parametrize(("secret_from", "host_from"), ALLOWED)
def test_a_source_as_trusted_as_the_secrets_may_name_any_host(
    sources: Sources, setting: str, secret_from: str, host_from: str
) -> None:
    set_both(sources, setting, secret_from, host_from)
    assert why_not(setting, sources.load()) is None


@pytest.mark.parametrize("setting", SECRETS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_this_machine_may_be_named_by_any_source(sources: Sources, setting: str, host: str) -> None:
    """Who can listen here is on this machine already."""
    value = host.strip("[]") if setting == "auth.api_key" else f"http://{host}:1234"
    set_both(sources, setting, "environment", "./config.toml", value)
    assert why_not(setting, sources.load()) is None


@pytest.mark.parametrize("setting", SECRETS)
def test_the_defaults_may_get_every_secret(sources: Sources, setting: str) -> None:
    variable, secret = SECRETS[setting]
    sources.set("environment", setting, variable, secret)
    assert why_not(setting, sources.load()) is None


@pytest.mark.parametrize(
    ("host_from", "refused"), [("environment", True), ("./.env", True), ("--config", False)]
)
def test_a_key_on_the_command_line_is_the_most_trusted_one(
    sources: Sources, host_from: str, refused: bool
) -> None:
    sources.set(host_from, "server.host", "GATEWAY_HOST", HOST)
    with pytest.raises(ConfigError) if refused else nullcontext():
        destinations.check_gateway(sources.load(), KEY)


def test_a_folder_chooses_no_certificate_for_a_gateway_elsewhere(sources: Sources) -> None:
    """The commands trust server.tls_cert alone: with its own, a stranger could answer for the gateway."""
    sources.set("environment", "auth.api_key", "GATEWAY_API_KEY", KEY)
    sources.set("environment", "server.host", "GATEWAY_HOST", HOST)
    assert why_not("auth.api_key", sources.load()) is None
    sources.set("./config.toml", "server.tls_cert", "GATEWAY_TLS_CERT", "evil.pem")
    assert "server.tls_cert" in str(why_not("auth.api_key", sources.load()))


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("203.0.113.9", False),
        ("2001:db8::9", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evil.localhost", False),
        ("127.0.0.1.evil.example", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, own: bool) -> None:
    """No name but localhost: the owner of another one chooses its address, and may change it any time."""
    assert is_this_machine(host) is own


def test_an_address_of_this_machine_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system knows them; the loopback address, which needs no look, stands here for any other one."""
    monkeypatch.setattr(destinations, "_is_loopback", lambda _: False)
    assert is_this_machine("127.0.0.1")
    assert not is_this_machine("203.0.113.9")


def test_a_folder_is_left_for_its_own_sake(sources: Sources) -> None:
    """.env is read in the current folder only, not in the ones around it."""
    sources.set("./.env", "server.port", "GATEWAY_PORT", "7")
    inner = sources.folder / "inner"
    inner.mkdir()
    os.chdir(inner)
    assert sources.load().config.server.port == 8002
