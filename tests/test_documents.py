"""What the documents say is what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import lmgateway
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


# As the README's map has it, the top first; what stands on one line may know each other.
LAYERS = (
    {"__main__", "cli"},
    {"service"},
    {"serving", "app"},
    {"web"},
    {"state"},
    {"policy"},
    {"traffic", "studio", "access"},
    {"observe"},
    {
        "aiohttp_mends",
        "background",
        "schema",
        "config",
        "settings",
        "settings_files",
        "networks",
        "caching",
        "errors",
        "__init__",
    },
)


def test_imports_never_point_up() -> None:
    """A module knows those beside and below it; the simulator, which only commands run, knows nobody."""
    package = Path(lmgateway.__file__).parent
    level = {name: number for number, names in enumerate(LAYERS) for name in names}
    wrong = []
    for file in package.rglob("*.py"):
        inside = file.relative_to(package).with_suffix("").parts
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom) or node.level == 0:
                continue
            base = inside[: len(inside) - node.level]
            targets = [node.module] if node.module else [alias.name for alias in node.names]
            for target in targets:
                top = (*base, *target.split("."))[0]
                if "simulator" in (inside[0], top):
                    allowed = inside[0] == top or (top == "simulator" and inside[0] == "cli")
                else:
                    allowed = level.get(top, len(LAYERS)) >= level[inside[0]]
                if not allowed:
                    wrong.append(f"{'.'.join(inside)} imports {top}")
    assert wrong == []


def test_readme_names_every_module() -> None:
    """The map of the code has no blank places."""
    readme = (ROOT / "README.md").read_text()
    package = Path(lmgateway.__file__).parent
    parts = [path.name for path in package.iterdir() if path.is_dir() and path.name[0] != "_"]
    parts += [path.name for path in package.glob("*.py") if path.name[0] != "_"]
    assert [name for name in parts if f"`{name}/`" not in readme and f"`{name}`" not in readme] == []
