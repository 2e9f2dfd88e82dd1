"""Sources of settings that are independent of this machine's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.errors import ConfigError


class Sources:
    """`problems` shortens the files' paths to their names."""

    def __init__(self, folder: Path) -> None:
        self.file, self.dotenv = folder / "config.toml", folder / ".env"

    def load(
        self,
        toml: str | bytes = "",
        *,
        env: Mapping[str, str] | None = None,
        dotenv: str | bytes | None = None,
        cli: Mapping[str, str] | None = None,
    ) -> settings.Loaded:
        self.file.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
        if dotenv is not None:
            self.dotenv.write_bytes(dotenv if isinstance(dotenv, bytes) else dotenv.encode())
        return settings.load(file=self.file, environ=env or {}, command_line=cli, dotenv=self.dotenv)

    def problems(
        self,
        toml: str | bytes = "",
        *,
        env: Mapping[str, str] | None = None,
        dotenv: str | bytes | None = None,
        cli: Mapping[str, str] | None = None,
    ) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(toml, env=env, dotenv=dotenv, cli=cli)
        return [problem.replace(f"{self.file.parent}/", "") for problem in caught.value.problems]
