"""What a service's installation does with secrets, and with a state that it copies."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.cli import private_file
from lmgateway.cli.service import configuration, files, state
from lmgateway.cli.service.places import of_machine
from lmgateway.storage import database


@pytest.mark.parametrize(
    ("mode", "is_written"), [(0o644, True), (0o640, True), (0o600, False), (0o400, False)]
)
def test_a_secret_that_others_can_read_is_written_again(tmp_path: Path, mode: int, is_written: bool) -> None:
    """Also if it has the right text: an administrator may have written it."""
    secret = tmp_path / "api_key"
    secret.write_text("k\n")
    secret.chmod(mode)
    for step in files.writing(secret, "k\n", mode=files.PRIVATE):
        step.act()
    assert secret.stat().st_mode & 0o777 == (0o600 if is_written else mode)


@pytest.mark.parametrize(
    "line", ['#api_key = "old-one"', "  # api_key='old-one'", '## api_key = "old-one" # 2025']
)
def test_a_secret_in_a_comment_stays_out_of_the_machines_configuration(tmp_path: Path, line: str) -> None:
    """Which everybody can read, unlike the user's own."""
    file = tmp_path / "config.toml"
    file.write_text(f'[lmstudio]\n#api_token = ""\n[auth]\n{line}\napi_key = "new-one"\n# the end\n')
    loaded = settings.load(file=file, environ={})
    made = configuration.make(loaded, of_machine(tmp_path))
    assert "-one" not in made.text
    assert '#api_token = ""' in made.text
    assert "# the end" in made.text
    assert made.secrets == {"auth.api_key": "new-one"}


def test_a_copy_of_the_state_that_broke_off_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever could not be copied: what is there looks like a state only when it is complete."""
    source, places = tmp_path / "source", of_machine(tmp_path / "root")
    source.mkdir()
    with sqlite3.connect(source / database.FILE_NAME) as connection:
        connection.execute("CREATE TABLE t (x)")
    (source / f"{database.FILE_NAME}-wal").touch()
    whole, copied = private_file.write_atomically, []

    def full(path: Path, content: bytes) -> None:
        if copied:
            raise OSError("No space left on device")
        copied.append(path)
        whole(path, content)

    monkeypatch.setattr(private_file, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        [step.act() for step in state.copying(source, places)]
    monkeypatch.undo()
    (step,) = state.copying(source, places)
    step.act()
    assert (places.state / database.FILE_NAME).read_bytes() == (source / database.FILE_NAME).read_bytes()
    assert {file.stat().st_mode & 0o777 for file in places.state.iterdir()} == {0o600}
