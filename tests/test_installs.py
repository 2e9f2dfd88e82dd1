"""What systemd/, windows/ and docker/ say agrees with the gateway."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import pytest
import yaml

from lmgateway.config import Server
from lmgateway.server.connection_limits import CUT_SECONDS
from lmgateway.settings import SETTINGS
from lmgateway.settings.files import CREDENTIALS_VARIABLE, MACHINE_FOLDER
from tests.support.process import lmgateway, run

ROOT = Path(__file__).parent.parent
VARIABLES = {name for setting in SETTINGS.values() for name in setting.env} | {CREDENTIALS_VARIABLE}
# Python's and the system's own.
OTHERS = {"PATH", "PYTHONDONTWRITEBYTECODE"}


class ComposeLoader(yaml.SafeLoader):
    """Understands what Compose adds to YAML: a value that takes an earlier file's away."""


ComposeLoader.add_constructor("!reset", lambda loader, node: None)


def compose(name: str, service: str = "lmgateway") -> dict[str, Any]:
    file = ROOT / "docker" / name
    found: dict[str, Any] = yaml.load(file.read_text(), ComposeLoader)["services"][service]
    return found


def dockerfile() -> list[tuple[str, str]]:
    """Its instructions in order, each with what follows its name."""
    text = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = (line.partition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return [(name, rest.strip()) for name, _, rest in lines]


def image_environment() -> dict[str, str]:
    [variables] = [rest for name, rest in dockerfile() if name == "ENV"]
    return dict(variable.split("=", 1) for variable in variables.split())


def unit(name: str) -> list[tuple[str, str]]:
    """A unit's assignments; a name may come more than once."""
    lines = (ROOT / "systemd" / name).read_text().splitlines()
    return [(key, value) for key, equals, value in (line.partition("=") for line in lines) if equals]


def windows_service() -> ET.Element:
    return ET.parse(ROOT / "windows" / "lmgateway-service.xml").getroot()


@pytest.mark.parametrize(
    "stop_seconds",
    [
        pytest.param(lambda: dict(unit("lmgateway.service"))["TimeoutStopSec"], id="systemd"),
        pytest.param(lambda: dict(unit("user/lmgateway.service"))["TimeoutStopSec"], id="systemd --user"),
        pytest.param(lambda: windows_service().findtext("stoptimeout"), id="WinSW"),
        pytest.param(lambda: compose("compose.yaml")["stop_grace_period"], id="Compose"),
    ],
)
def test_no_manager_kills_the_gateway_while_it_drains(stop_seconds: Any) -> None:
    """Each waits longer than the gateway waits for running requests."""
    seconds = int(re.fullmatch(r"(\d+)( sec|s)?", stop_seconds())[1])  # type: ignore[index] # fails if there is none
    assert seconds > Server().drain_seconds + CUT_SECONDS


def test_the_port_is_the_same_everywhere() -> None:
    port = str(Server().port)
    assert dict(unit("lmgateway.socket"))["ListenStream"] == port
    assert dict(dockerfile())["EXPOSE"] == port
    assert compose("compose.yaml")["ports"] == [f"{port}:{port}"]


def test_every_variable_is_a_setting() -> None:
    """A mistyped one would be ignored silently."""
    named = set(image_environment())
    for name in ("compose.yaml", "compose.linux.yaml"):
        service = compose(name)
        named |= {*service["environment"], *service.get("secrets", ())}
    named |= {element.attrib["name"] for element in windows_service().findall("env")}
    for name in ("lmgateway.service", "user/lmgateway.service"):
        for key, value in unit(name):
            if key in {"LoadCredential", "SetCredential", "Environment"}:
                named.add(re.split("[:=]", value)[0])
    assert named - VARIABLES - OTHERS == set()


def test_the_image_can_be_built() -> None:
    """What it copies is there, and isn't kept from the builder."""
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [rest for name, rest in dockerfile() if name == "COPY" and not rest.startswith("--from")]
    for path in [path for rest in copied for path in rest.split()[:-1]]:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in let_through


def test_the_container_has_no_rights() -> None:
    user = dict(dockerfile())["USER"]
    # A number, so that it can be judged without the image's /etc/passwd.
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    for name in ("lmgateway", "init"):
        service = compose("compose.yaml", name)
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_container_keeps_its_state_and_finds_its_secrets() -> None:
    """They are where Compose mounts them, and the state is where the volume is."""
    environment = image_environment()
    assert environment[CREDENTIALS_VARIABLE] == "/run/secrets"
    assert f"state:{environment['GATEWAY_STATE_DIR']}" in compose("compose.yaml")["volumes"]
    # Folders that are in the image, because a new volume takes over their owner.
    [made] = [rest for name, rest in dockerfile() if name == "RUN" and rest.startswith("install -d")]
    assert made.endswith(f" -o 10001 -g 10001 {MACHINE_FOLDER} {environment['GATEWAY_STATE_DIR']}")


@pytest.mark.parametrize(
    "files", [("compose.yaml",), ("compose.yaml", "compose.linux.yaml")], ids=["bridge", "host"]
)
async def test_the_container_starts_with_what_its_init_step_wrote(
    files: tuple[str, ...], tmp_path: Path
) -> None:
    """Each step's own command and environment, with the volumes elsewhere: a key exists, and is kept."""
    assert f"config:{MACHINE_FOLDER}" in compose("compose.yaml", "init")["volumes"]
    assert f"config:{MACHINE_FOLDER}:ro" in compose("compose.yaml")["volumes"]
    [entrypoint] = [json.loads(rest) for name, rest in dockerfile() if name == "ENTRYPOINT"]
    [serve] = [json.loads(rest) for name, rest in dockerfile() if name == "CMD"]
    assert entrypoint == ["lmgateway"]

    def environ(service: str) -> dict[str, str]:
        given = {**image_environment(), "GATEWAY_STATE_DIR": str(tmp_path / "state")}
        for name in files:
            given |= compose(name, service)["environment"]
        return {name: value for name, value in given.items() if name != "PATH"}

    command = [
        str(word).replace(str(MACHINE_FOLDER), str(tmp_path))
        for word in compose(files[-1], "init")["command"]
    ]
    status, printed = await run(*command, cwd=tmp_path, **environ("init"))
    assert status == 0, printed
    config = tmp_path / "config.toml"
    key = tomllib.loads(config.read_text())["auth"]["api_key"]
    assert key in printed
    status, printed = await run(*command, cwd=tmp_path, **environ("init"))
    assert (status, tomllib.loads(config.read_text())["auth"]["api_key"]) == (73, key), printed
    found = {"LMGATEWAY_CONFIG": str(config), "GATEWAY_HOST": "127.0.0.1"}
    async with lmgateway(*serve, "--port", "0", cwd=tmp_path, **environ("lmgateway"), **found) as gateway:
        port = await gateway.port()
        url = f"http://127.0.0.1:{port}/debug/status"
        async with aiohttp.ClientSession() as client:
            for header, expected in ((key, 200), ("another", 401)):
                async with client.get(url, headers={"X-API-Key": header}) as response:
                    assert response.status == expected
        check = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "docker/healthcheck.py")),
            cwd=tmp_path,
            env={**environ("lmgateway"), **found, "GATEWAY_PORT": str(port)},
        )
        assert await check.wait() == 0


def test_the_user_unit_asks_for_nothing_that_only_root_can_do() -> None:
    """A user's manager fails the start, or leaves the option out, where it needs a right or a mount."""
    forbidden = re.compile("Protect|Private|DynamicUser|User$|Capability|Ambient|Limit")
    assert [key for key, _ in unit("user/lmgateway.service") if forbidden.match(key)] == []


@pytest.mark.parametrize("page", ["systemd/README.md", "windows/README.md", "docker/README.md"])
def test_an_install_page_names_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text().replace("\\", "/")
    named = set(re.findall(r"(?<![\w/.])(?:systemd|windows|docker)/[\w./-]*\w\.\w+", text))
    assert named, "it names none, so this test is wrong"
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
