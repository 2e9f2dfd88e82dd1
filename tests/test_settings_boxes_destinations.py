"""A box's token never goes to a host that a less trusted source names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.errors import ConfigError
from lmgateway.settings import destinations

TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
ATTIC = '[boxes.attic]\nbase_url = "http://evil.example:1234"\n'
CELLAR = '[boxes.cellar]\nbase_url = "http://127.0.0.1:1"\n'
VARIABLE = "LMSTUDIO_API_TOKEN"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose files another user may have written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(ATTIC + CELLAR)
    return tmp_path


@pytest.mark.parametrize("source", ["environment", "credential", ".env"])
def test_a_folders_box_gets_no_token_of_a_more_trusted_source(folder: Path, source: str) -> None:
    """The token that all boxes have goes to no box that ./config.toml names, but to this machine."""
    (folder / VARIABLE).write_text(TOKEN)
    if source == ".env":
        (folder / ".env").write_text(f"{VARIABLE}={TOKEN}\n")
    environ = {"environment": {VARIABLE: TOKEN}, "credential": {"CREDENTIALS_DIRECTORY": str(folder)}}
    loaded = settings.load(file=None, environ=environ.get(source, {}))
    with pytest.raises(ConfigError) as caught:
        destinations.check_lm_studios(loaded)
    [problem] = caught.value.problems
    assert problem == (
        f"boxes.attic.api_token, which {source} ({VARIABLE}) sets, isn't sent to evil.example: config.toml "
        "sets boxes.attic.base_url, and is a less trusted source. Set boxes.attic.api_token in the same "
        "source as boxes.attic.base_url, or choose the file with --config."
    )
    assert destinations.why_not_to_lm_studio(loaded, "cellar") is None


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_a_box_with_a_token_of_its_own_gets_no_other(folder: Path, token: str) -> None:
    """Also with an empty one. A file may send its own secret wherever it wants."""
    (folder / "config.toml").write_text(f'{ATTIC}api_token = "{token}"\n')
    loaded = settings.load(file=None, environ={VARIABLE: "another"})
    assert loaded.config.boxes["attic"].api_token == token
    destinations.check_lm_studios(loaded)


@pytest.mark.parametrize("is_chosen", [True, False])
def test_a_chosen_file_may_name_the_boxes(folder: Path, is_chosen: bool) -> None:
    """As it may name the only LM Studio."""
    file = folder / "config.toml" if is_chosen else None
    loaded = settings.load(file=file, environ={VARIABLE: TOKEN})
    assert bool(destinations.why_not_to_lm_studios(loaded)) is not is_chosen


def test_the_token_of_a_secret_file_goes_nowhere_else(folder: Path) -> None:
    """The folder links to a file whose secrets aren't its own. Its .env can't name a box's host."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.toml").write_text(f'{ATTIC}api_token = "{TOKEN}"\n')
    (folder / "config.toml").unlink()
    (folder / "config.toml").symlink_to(elsewhere / "config.toml")
    (folder / ".env").write_text("LMSTUDIO_BASE_URL=http://worse.example:1\n")
    loaded = settings.load(file=None, environ={})
    assert loaded.config.studios["attic"].base_url.host == "evil.example"
    destinations.check_lm_studios(loaded)
