"""What a service's configuration is made of that has several boxes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.cli.service import configuration
from lmgateway.cli.service.places import of_machine, of_user
from lmgateway.errors import ConfigError
from tests.cli.service.test_configuration import made

BOXES = """
[boxes.attic]
base_url = "http://10.0.0.1:1"
log_dir = "logs" # here
[boxes."cellar.lan"]
base_url = "http://10.0.0.2:1"
"""


def test_boxes_move_with_their_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A box's own folder becomes absolute; what boxes have from [lmstudio] is written there only."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.toml"
    file.write_text(BOXES)
    environ = {"LMSTUDIO_API_TOKEN": "t", "LMSTUDIO_CALL_TIMEOUT": "5", "LMSTUDIO_BASE_URL": "http://h:1"}
    loaded = settings.load(file=file, environ=environ)
    new = configuration.make(loaded, of_machine(tmp_path / "root"))
    assert tomllib.loads(new.text) == {
        "boxes": {
            "attic": {"base_url": "http://10.0.0.1:1", "log_dir": f"{tmp_path}/logs"},
            "cellar.lan": {"base_url": "http://10.0.0.2:1"},
        },
        "lmstudio": {"call_timeout_ms": 5},
    }
    assert new.secrets == {"lmstudio.api_token": "t"}


def test_the_logs_of_several_boxes_are_shown_in_the_sandbox(tmp_path: Path) -> None:
    """Each folder once; those that the sandbox doesn't hide need nothing."""
    tables = {"a": "home/a", "b": "home/b", "c": "home/b", "d": "srv"}
    text = "".join(
        f'[boxes.{name}]\nbase_url = "http://{name}:1"\nlog_dir = "{tmp_path}/{folder}"\n'
        for name, folder in tables.items()
    )
    drop_in = made(tmp_path, text, of_machine(tmp_path)).drop_ins["lmgateway.service.d/10-log.conf"]
    assert [line for line in drop_in.splitlines() if line.startswith("Bind")] == [
        f"BindReadOnlyPaths=-{tmp_path}/home/{name}" for name in "ab"
    ]


def test_a_boxs_own_token_stays_out_of_the_machines_configuration(tmp_path: Path) -> None:
    """Which everybody can read. A user's own is private."""
    text = f'{BOXES}api_token = "s3cret"\n'
    with pytest.raises(ConfigError) as failed:
        made(tmp_path, text)
    [problem] = failed.value.problems
    assert problem.startswith(
        'boxes."cellar.lan".api_token: the machine\'s service has no private file for it.'
    )
    assert "s3cret" not in problem
    assert "s3cret" in made(tmp_path, text, of_user()).text
