"""Programs of npm, run to their end with nothing of the user's environment but PATH."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

MANIFEST = Path(__file__).with_name("package.json")
# With these nothing but the gateway is asked.
CLAUDE_QUIET = (
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_AUTOUPDATER",
    "DISABLE_ERROR_REPORTING",
    "DISABLE_TELEMETRY",
)
CODEX_CONFIG = """
model = "{model}"
model_provider = "lmgateway"
[model_providers.lmgateway]
name = "lmgateway"
base_url = "{base_url}/v1"
env_key = "LMGATEWAY_API_KEY"
wire_api = "responses"
[analytics]
enabled = false
[features]
plugins = false
"""
# Claude Code's ten retries take three minutes, which no test may wait for.
PROGRAM_SECONDS = 60.0


@dataclass
class Finished:
    status: int
    output: str


@dataclass
class Program:
    """A command, the folder it runs in, and its environment."""

    command: Path
    folder: Path
    environ: dict[str, str]

    def with_environ(self, **variables: str) -> Program:
        return replace(self, environ={**self.environ, **variables})

    async def run(self, *arguments: str) -> Finished:
        """Raises TimeoutError, and ends the program and its children, after PROGRAM_SECONDS."""
        process = await asyncio.create_subprocess_exec(
            self.command,
            *arguments,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), PROGRAM_SECONDS)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()
        return Finished(process.returncode or 0, output.decode())


def claude_code(commands: Path, folder: Path, base_url: str, key: str, model: str) -> Program:
    """Claude Code, set up for this gateway."""
    models = ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL")
    environ = {
        "ANTHROPIC_BASE_URL": base_url,
        "ANTHROPIC_AUTH_TOKEN": key,
        **dict.fromkeys(models, model),
        **dict.fromkeys(CLAUDE_QUIET, "1"),
    }
    return Program(commands / "claude", folder, environ)


def codex_cli(commands: Path, folder: Path, base_url: str, key: str, model: str) -> Program:
    """Codex, set up for this gateway."""
    home = folder / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(CODEX_CONFIG.format(model=model, base_url=base_url))
    return Program(commands / "codex", folder, {"CODEX_HOME": str(home), "LMGATEWAY_API_KEY": key})
