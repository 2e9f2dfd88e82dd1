"""What the documents say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import structs
from yarl import URL

from lmgateway import settings
from lmgateway.config import LMStudio, ModelProfile
from lmgateway.schema.models import DefaultInference, Gpu, LoadConfig

ROOT = Path(__file__).parent.parent
# Their default is "not set", which TOML can't write: what the manual shows is what one would set instead.
SHOWN_FOR_NOT_SET = {
    "lmstudio.idle_minutes": "10.0",
    "network.ip_allowlist": '["*"]',
    "cors.origins": '["*"]',
}

EXAMPLE = ModelProfile(
    aliases=("gpt-4o", "claude-*"),
    load=LoadConfig(context_length=8192, flash_attention=True, gpu=Gpu(ratio=0.5)),
    defaults=DefaultInference(temperature=0.7, max_tokens=500, stop_strings=("<|im_end|>",)),
)


def test_example_configuration_is_the_defaults(tmp_path: Path) -> None:
    """With every setting's "#" taken off, the manual loads, and only its example profile is new."""
    text = (ROOT / "config.example.toml").read_text()
    example = tmp_path / "config.toml"
    example.write_text(re.sub(r"^#(?=\w+ = |\[)", "", text, flags=re.MULTILINE))
    loaded = settings.load(file=example, environ={}, dotenv=tmp_path / ".env")
    assert [path for path, origin in loaded.origins.items() if origin == "default"] == []
    for path, setting in settings.SETTINGS.items():
        assert setting.show(loaded.value(path)) == SHOWN_FOR_NOT_SET.get(
            path, setting.show(setting.default)
        ), path

    assert loaded.config.models == {"qwen/qwen3-8b": EXAMPLE}


def test_example_boxes_are_a_configuration(tmp_path: Path) -> None:
    """As they are written in the comment, beside the rest of the manual as it is."""
    text = (ROOT / "config.example.toml").read_text()
    example = tmp_path / "config.toml"
    example.write_text(re.sub(r"^#   (?=\w+ = |\[)", "", text, flags=re.MULTILINE))
    config = settings.load(file=example, environ={}, dotenv=tmp_path / ".env").config
    assert config.boxes == {
        "cellar": LMStudio(base_url=URL("http://192.168.1.20:1234")),
        "attic": LMStudio(base_url=URL("http://192.168.1.21:1234"), wake_mac="00:11:22:aa:bb:cc"),
    }
    assert list(config.boxes) == ["cellar", "attic"]


def test_example_configuration_names_every_setting_of_a_profile() -> None:
    """Its reader sees them nowhere else."""
    comment = (ROOT / "config.example.toml").read_text().partition("# Profiles: ")[2]
    fields = [
        field for kind in (ModelProfile, LoadConfig, Gpu, DefaultInference) for field in structs.fields(kind)
    ]
    names = [field.encode_name for field in fields]
    assert [name for name in names if not re.search(rf"\b{name}\b", comment)] == []


def test_example_configuration_names_every_variable() -> None:
    """Each environment variable is beside its setting."""
    text = (ROOT / "config.example.toml").read_text()
    assert [name for setting in settings.SETTINGS.values() for name in setting.env if name not in text] == []
