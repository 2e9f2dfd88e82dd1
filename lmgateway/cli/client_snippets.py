"""Ready-to-paste settings for each client, with the gateway's URL, its key and a model."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping

from msgspec import Struct


class Access(Struct, frozen=True):
    """What a client needs to connect. `base_url` doesn't include /v1."""

    base_url: str
    key: str
    model: str


def all_lines(access: Access) -> str:
    """Return every client's settings, each below a comment with the client's name."""
    return "\n\n".join(f"# {name}\n{make(access)}" for name, make in _CLIENTS.items())


def curl(access: Access) -> str:
    body = json.dumps({"model": access.model, "messages": [{"role": "user", "content": "Hello!"}]})
    return (
        f"curl {shlex.quote(f'{access.base_url}/v1/chat/completions')} \\\n"
        f"  -H {shlex.quote(f'Authorization: Bearer {access.key}')} -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}"
    )


def openai(access: Access) -> str:
    return _exports(OPENAI_BASE_URL=f"{access.base_url}/v1", OPENAI_API_KEY=access.key)


def claude_code(access: Access) -> str:
    # Without the last two, Claude Code requests Anthropic's models for background work and subagents.
    variables = _exports(
        ANTHROPIC_BASE_URL=access.base_url,
        ANTHROPIC_AUTH_TOKEN=access.key,
        ANTHROPIC_MODEL=access.model,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=access.model,
        CLAUDE_CODE_SUBAGENT_MODEL=access.model,
    )
    return f"unset ANTHROPIC_API_KEY\n{variables}\nclaude"


def codex(access: Access) -> str:
    return (
        f"{_exports(LMGATEWAY_API_KEY=access.key)}\n"
        "# and at the top of ~/.codex/config.toml:\n"
        f"model = {_quoted(access.model)}\n"
        'model_provider = "lmgateway"\n'
        "[model_providers.lmgateway]\n"
        'name = "lmgateway"\n'
        f"base_url = {_quoted(f'{access.base_url}/v1')}\n"
        'env_key = "LMGATEWAY_API_KEY"\n'
        'wire_api = "responses"'
    )


def llm(access: Access) -> str:
    return (
        f"llm keys set lmgateway --value {shlex.quote(access.key)}\n"
        'cat >> "$(dirname "$(llm logs path)")/extra-openai-models.yaml" <<\'END\'\n'
        "- model_id: lmgateway\n"
        f"  model_name: {_quoted(access.model)}\n"
        f"  api_base: {_quoted(f'{access.base_url}/v1')}\n"
        "  api_key_name: lmgateway\n"
        "  supports_tools: true\n"
        "END\n"
        "llm -m lmgateway 'Hello!'"
    )


def open_webui(access: Access) -> str:
    return _exports(OPENAI_API_BASE_URL=f"{access.base_url}/v1", OPENAI_API_KEY=access.key)


def continue_dev(access: Access) -> str:
    return (
        "name: lmgateway\n"
        "version: 1.0.0\n"
        "schema: v1\n"
        "models:\n"
        f"  - name: {_quoted(access.model)}\n"
        "    provider: openai\n"
        f"    model: {_quoted(access.model)}\n"
        f"    apiBase: {_quoted(f'{access.base_url}/v1')}\n"
        f"    apiKey: {_quoted(access.key)}\n"
        "    roles: [chat, edit, apply]\n"
        "    capabilities: [tool_use]"
    )


_CLIENTS: Mapping[str, Callable[[Access], str]] = {
    "curl": curl,
    "OpenAI's libraries, and other programs that read these variables": openai,
    "Claude Code": claude_code,
    "Codex": codex,
    "llm": llm,
    "Open WebUI, before its first start (afterwards: Admin Settings > Connections)": open_webui,
    "Continue: ~/.continue/config.yaml": continue_dev,
}


def _exports(**variables: str) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _quoted(text: str) -> str:
    """Return the text in double quotes, as TOML and YAML understand them."""
    return json.dumps(text)
