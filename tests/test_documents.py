"""What the documents say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from lmgateway import settings

ROOT = Path(__file__).parent.parent
# Their default is "not set", which TOML can't write: what the manual shows is what one would set instead.
SHOWN_FOR_NOT_SET = {"network.ip_allowlist": '["*"]', "cors.origins": '["*"]'}


def test_example_configuration_is_the_defaults(tmp_path: Path) -> None:
    """With every setting's "#" taken off, the manual loads, and changes nothing."""
    text = (ROOT / "config.example.toml").read_text()
    example = tmp_path / "config.toml"
    example.write_text(re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE))
    loaded = settings.load(file=example, environ={}, dotenv=tmp_path / ".env")
    assert [path for path, origin in loaded.origins.items() if origin == "default"] == []
    for path, setting in settings.SETTINGS.items():
        table, _, name = path.rpartition(".")
        value = getattr(getattr(loaded.config, table) if table else loaded.config, name)
        assert setting.show(value) == SHOWN_FOR_NOT_SET.get(path, setting.show(setting.default)), path


def test_example_configuration_names_every_variable() -> None:
    """Whoever looks for an environment variable finds it beside its setting."""
    text = (ROOT / "config.example.toml").read_text()
    assert [name for setting in settings.SETTINGS.values() for name in setting.env if name not in text] == []
