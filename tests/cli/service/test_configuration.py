"""What a service's configuration is made of."""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.cli.service import configuration, program, source, state, units
from lmgateway.cli.service.configuration import ServiceConfig
from lmgateway.cli.service.places import Places, home_of_owner, of_machine
from lmgateway.cli.service.steps import ServiceFailed
from lmgateway.cli.service.toml_text import Change, edit, set_to
from lmgateway.errors import ConfigError

NOBODY = pwd.getpwnam("nobody")


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        ("[auth]\n# why\napi_key = 'a' # b\n", Change("auth.api_key", "# gone"), "[auth]\n# why\n# gone\n"),
        ("[auth]\napi_key = 1\n", set_to("auth.api_key", '"b"'), '[auth]\napi_key = "b"\n'),
        (
            "[server]\nport = 1\n",
            set_to("auth.api_key", '"b"'),
            '[server]\nport = 1\n\n[auth]\napi_key = "b"\n',
        ),
        ("[auth] # here\n", set_to("auth.api_key", '"b"'), '[auth] # here\napi_key = "b"\n'),
        (
            "[server]\napi_key = 1\n[auth]\n",
            Change("auth.api_key", "# gone"),
            "[server]\napi_key = 1\n[auth]\n",
        ),
        ("", set_to("environment", '"test"'), 'environment = "test"\n'),
        (
            "[models.auth]\nx = 1\n",
            set_to("server.port", "1"),
            "[models.auth]\nx = 1\n\n[server]\nport = 1\n",
        ),
        (
            '[boxes . "a.b"]\nx = 1\n[boxes.c] # here\nx = 2\n',
            set_to('boxes."a.b".x', "3"),
            '[boxes . "a.b"]\nx = 3\n[boxes.c] # here\nx = 2\n',
        ),
        (
            "[boxes.a]\ny = 1\n[boxes.c]\nx = 2\n",
            set_to("boxes.a.x", "3"),
            "[boxes.a]\nx = 3\ny = 1\n[boxes.c]\nx = 2\n",
        ),
        ("[[a]]\nx = 1\n", set_to("b.x", "3"), "[[a]]\nx = 1\n\n[b]\nx = 3\n"),
        ('[auth]\n#api_key = ""\n', set_to("auth.api_key", '"b"'), '[auth]\napi_key = "b"\n#api_key = ""\n'),
    ],
)
def test_one_line_is_changed(text: str, change: Change, expected: str) -> None:
    assert edit(text, [change], "config.toml") == expected


@pytest.mark.parametrize(
    "text",
    [
        "auth.api_key = 'a'\n",
        "auth = { api_key = 'a' }\n",
        "[auth]\napi_key = '''\na\n'''\n",
        "[auth]\n'api_key' = 'a'\n",
    ],
)
def test_a_line_that_cannot_be_changed_is_named(text: str) -> None:
    """A secret must not stay in a file that every user reads."""
    with pytest.raises(ConfigError) as failed:
        edit(text, [Change("auth.api_key", "# gone")], "config.toml")
    assert failed.value.problems == [
        "config.toml: write auth.api_key below [auth], on a line of its own: api_key = VALUE"
    ]


def made(folder: Path, text: str, places: Places | None = None) -> ServiceConfig:
    file = folder / "config.toml"
    file.write_text(text)
    loaded = settings.load(file=file, environ={}, dotenv=folder / ".env")
    return configuration.make(loaded, places or of_machine())


def test_a_certificate_is_read_by_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's user can read neither the key nor a home folder."""
    monkeypatch.chdir(tmp_path)
    new = made(tmp_path, '[server]\ntls_cert = "a%.pem"\ntls_key = "/etc/ssl/b.key"\n')
    assert tomllib.loads(new.text)["server"] == {
        "tls_cert": "/run/credentials/lmgateway.service/tls.crt",
        "tls_key": "/run/credentials/lmgateway.service/tls.key",
    }
    lines = new.drop_ins["lmgateway.service.d/10-certificate.conf"].splitlines()
    assert lines[0] == "[Service]"
    assert f"LoadCredential=tls.crt:{tmp_path}/a%%.pem" in lines
    assert "LoadCredential=tls.key:/etc/ssl/b.key" in lines
    # The settings in place have the credentials' paths, and don't say where systemd reads them.
    again = made(tmp_path, new.text)
    assert again.text == new.text
    assert "lmgateway.service.d/10-certificate.conf" not in again.drop_ins


def test_a_longer_drain_is_a_longer_stop(tmp_path: Path) -> None:
    name = "lmgateway.service.d/10-drain.conf"
    longer = made(tmp_path, "[server]\ndrain_seconds = 300\n").drop_ins[name]
    assert longer.splitlines()[-1] == "TimeoutStopSec=310"
    assert made(tmp_path, "[server]\ndrain_seconds = 30\n").drop_ins[name] == ""


def test_the_log_of_lm_studio_is_shown_in_the_sandbox(tmp_path: Path) -> None:
    """ProtectHome= would hide it."""
    name = "lmgateway.service.d/10-log.conf"
    places = of_machine(tmp_path)
    for folder, shown in (("home/alice/.lmstudio/server-logs", True), ("srv/logs", False)):
        text = made(tmp_path, f'[lmstudio]\nlog_dir = "{tmp_path}/{folder}"\n', places).drop_ins[name]
        assert (f"BindReadOnlyPaths=-{tmp_path}/{folder}" in text.splitlines()) == shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_home_in_the_settings_is_their_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With sudo, ~ would be root's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/root")
    file = tmp_path / "config.toml"
    file.write_text('[lmstudio]\nlog_dir = "~/logs"\n')
    os.chown(file, NOBODY.pw_uid, NOBODY.pw_gid)
    found = source.find(argparse.Namespace(config=None), of_machine(tmp_path))
    assert found.config.lmstudio.log_dir == f"{NOBODY.pw_dir}/logs"
    assert os.environ["HOME"] == "/root"


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts in another folder. systemd makes the machine's state folder."""
    monkeypatch.chdir(tmp_path)
    new = made(tmp_path, '[server]\nstate_dir = "state"\n[lmstudio]\nlog_dir = "logs"\n')
    assert tomllib.loads(new.text) == {"server": {}, "lmstudio": {"log_dir": str(tmp_path / "logs")}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 0", "another port at each start"),
        ('tls_cert = "/nowhere.pem"', "there is no file /nowhere.pem"),
    ],
)
def test_what_a_service_cannot_have_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[server]\n{text}\n")
    with pytest.raises(ConfigError, match=words):
        configuration.check(settings.load(file=file, environ={}, dotenv=tmp_path / ".env"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_takes_the_state_of_the_user_who_tried_it(tmp_path: Path) -> None:
    """With sudo, HOME is root's. The file that `init` wrote says whose home it is."""
    file = tmp_path / "config.toml"
    file.write_text("")
    assert home_of_owner(file) is None
    os.chown(file, NOBODY.pw_uid, NOBODY.pw_gid)
    config = settings.load(file=file, environ={}, dotenv=tmp_path / ".env").config
    assert state.folder_of(config, file) == Path(NOBODY.pw_dir) / ".local/state/lmgateway"
    file.write_text(f'[server]\nstate_dir = "{tmp_path}"\n')
    config = settings.load(file=file, environ={}, dotenv=tmp_path / ".env").config
    assert state.folder_of(config, file) == tmp_path


def test_every_secret_has_a_file_of_the_unit() -> None:
    """A new one would stay in the file that every user can read."""
    unit = (Path(__file__).parents[3] / "systemd/lmgateway.service").read_text()
    places = of_machine()
    for path, setting in settings.SETTINGS.items():
        if setting.secret:
            assert f"LoadCredential={setting.env[0]}:{places.secret(path)}" in unit.splitlines()


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    places = of_machine(tmp_path)
    places.program.mkdir(parents=True)
    (places.program / "something").touch()
    with pytest.raises(ServiceFailed, match="isn't an installation of lmgateway"):
        program.check(places)


def test_a_python_in_a_home_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's service can't start it; a user's own can."""
    monkeypatch.setattr("sys.base_prefix", str(tmp_path / "home/alice/.local/python"))
    with pytest.raises(ServiceFailed, match="--user"):
        program.check(of_machine(tmp_path))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
@pytest.mark.parametrize("broken", ["", "[Socket]\nListenStream=nowhere:x\n"], ids=["as written", "broken"])
def test_systemd_finds_nothing_wrong_with_the_drop_ins(tmp_path: Path, broken: str) -> None:
    """Beside the units; and it would find a mistake in them."""
    places = of_machine(tmp_path)
    file = tmp_path / "config.toml"
    file.write_text(
        '[server]\nhost = "localhost"\nport = 9000\ndrain_seconds = 300\ntls_cert = "/a%b"\ntls_key = "/c"\n'
        f'[lmstudio]\nlog_dir = "{tmp_path}/home/a/logs"\n'
    )
    loaded = settings.load(file=file, environ={}, dotenv=tmp_path / ".env")
    new = configuration.make(loaded, places)
    steps = [*units.writing_service(places, new.drop_ins), *units.writing_socket(places, loaded.config)]
    assert len(steps) == 6
    for step in steps:
        step.act()
    service = places.unit_folder / "lmgateway.service"
    service.write_text(service.read_text().replace("/opt/lmgateway/bin/lmgateway", sys.executable))
    if broken:
        (places.unit_folder / "lmgateway.socket.d/20-broken.conf").write_text(broken)
    command = ["systemd-analyze", "--system", "verify", "--recursive-errors=no"]
    verified = subprocess.run(
        [*command, service, places.unit_folder / "lmgateway.socket"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.stderr == "") == (not broken), verified.stderr
