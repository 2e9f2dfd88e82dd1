"""The sources of the configuration, and which one is stronger."""

from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

from lmgateway import settings
from lmgateway.networks import Allowlist, Networks
from lmgateway.settings import files
from tests.support.sources import Sources


@pytest.fixture
def sources(tmp_path):
    return Sources(tmp_path)


def value_at(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


GIVEN = {
    "toml": "[server]\nport = 1",
    "dotenv": "GATEWAY_PORT=2",
    "env": {"GATEWAY_PORT": "3"},
    "cli": {"server.port": "4"},
}


@pytest.mark.parametrize(
    ("given", "port", "origin"),
    [
        ([], 8002, "default"),
        (["toml"], 1, "config.toml"),
        (["toml", "dotenv"], 2, ".env (GATEWAY_PORT)"),
        (["toml", "dotenv", "env"], 3, "environment (GATEWAY_PORT)"),
        (["toml", "dotenv", "env", "cli"], 4, "command line"),
    ],
    ids=["default", "file", ".env", "environment", "command line"],
)
def test_the_strongest_source_wins(sources, given, port, origin):
    """Command line > environment > .env > file > default, and `check` can say which it was."""
    loaded = sources.load(**{source: GIVEN[source] for source in given})
    where = loaded.origins["server.port"].replace(f"{sources.file.parent}/", "")
    assert (loaded.config.server.port, where) == (port, origin)


def test_sources_complete_each_other(sources):
    """A stronger source overrides single settings of a weaker one."""
    server = sources.load("[server]\nport = 1\nhost = '::'", env={"GATEWAY_PORT": "2"}).config.server
    assert (server.host, server.port) == ("::", 2)


@pytest.mark.parametrize(
    ("chosen", "environ", "expected"),
    [
        (Path("chosen.toml"), {"LMGATEWAY_CONFIG": "named.toml"}, "chosen.toml"),
        (None, {"LMGATEWAY_CONFIG": "named.toml"}, "named.toml"),
        (None, {"LMGATEWAY_CONFIG": ""}, "config.toml"),
        (None, {}, "config.toml"),
    ],
    ids=["--config", "LMGATEWAY_CONFIG", "LMGATEWAY_CONFIG empty", "working directory"],
)
def test_the_file_that_was_named_is_read(tmp_path, monkeypatch, chosen, environ, expected):
    """--config > $LMGATEWAY_CONFIG > ./config.toml; a named file is read even if another one exists."""
    (tmp_path / "config.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert files.find_file(chosen, environ) == Path(expected)


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("LMSTUDIO_BASE_URL", "https://h:1/lm/", "lmstudio.base_url", URL("https://h:1/lm")),
        ("LMSTUDIO_API_TOKEN", "sk-1", "lmstudio.api_token", "sk-1"),
        ("GATEWAY_HOST", "::1", "server.host", "::1"),
        ("GATEWAY_PORT", "0", "server.port", 0),
        ("GATEWAY_API_KEY", "a key", "auth.api_key", "a key"),
        ("IP_ALLOWLIST", "::1, 10.0.0.0/8", "network.ip_allowlist", Allowlist(["::1", "10.0.0.0/8"])),
        ("TRUSTED_PROXIES", "10.0.0.1,", "network.trusted_proxies", Networks(["10.0.0.1"])),
        ("REQUIRE_AUTH_FOR_HEALTH", "true", "auth.require_for_health", True),
        ("REQUIRE_AUTH_FOR_HEALTH", "FALSE", "auth.require_for_health", False),
        ("LOG_LEVEL", "WARN", "logging.level", "warn"),
        ("LOG_FORMAT", "Json", "logging.format", "json"),
        ("NODE_ENV", "production", "environment", "production"),
        ("GATEWAY_ENV", "test", "environment", "test"),
        ("PROXY_TIMEOUT", "5000", "proxy.timeout_ms", 5000),
        ("PROXY_STREAM_TIMEOUT", "60000", "proxy.stream_timeout_ms", 60000),
        ("MAX_BODY_BYTES", "1", "proxy.max_body_bytes", 1),
        ("MAX_UPLOAD_BYTES", "2", "proxy.max_upload_bytes", 2),
        ("CORS_ORIGINS", "https://a.example, *", "cors.origins", ("https://a.example", "*")),
        ("LMSTUDIO_LOG_DIR", "/var/log/lm", "lmstudio.log_dir", "/var/log/lm"),
        ("ENABLE_LOG_MONITORING", "1", "lmstudio.log_monitoring", True),
    ],
)
def test_each_variable_sets_its_setting(sources, name, text, path, value):
    """An .env or compose file of the older gateways still works."""
    assert value_at(sources.load(env={name: text}).config, path) == value


@pytest.mark.parametrize(
    "origin",
    [
        "http://a.example:443",
        "https://[::1]:8443",
        "https://xn--bcher-kva.example",
        "null",
        "file://",
        "app://obsidian.md",
        "tauri://localhost",
        "chrome-extension://abc",
        "chrome-extension://*",
        "moz-extension://*",
        "safari-web-extension://ABC-DEF",
        "vscode-webview://0a1B2c",
    ],
)
def test_what_browsers_send_as_an_origin_can_be_listed(sources, origin):
    assert sources.load(env={"CORS_ORIGINS": origin}).config.cors.origins == (origin,)


@pytest.mark.parametrize(
    "path", ["server.tls_cert", "server.tls_key", "server.state_dir", "lmstudio.log_dir"]
)
def test_a_path_may_begin_with_the_home_folder(sources, monkeypatch, path):
    """~ is expanded once, for all that read the setting."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    assert value_at(sources.load(cli={path: "~/x"}).config, path) == "/home/somebody/x"


@pytest.mark.parametrize("host", ["::", "fe80::1%eth0.1", "0.0.0.0", "a_b-c.example.", "a" * 63])
def test_addresses_and_names_are_hosts(sources, host):
    assert sources.load(env={"GATEWAY_HOST": host}).config.server.host == host


@pytest.mark.parametrize("environ", [{}, {"LMGATEWAY_CONFIG": ""}], ids=["not set", "empty"])
def test_dotenv_may_name_the_file(sources, tmp_path, environ):
    """LMGATEWAY_CONFIG counts in .env, too."""
    named = tmp_path / "named.toml"
    named.write_text("[server]\nport = 7")
    sources.dotenv.write_text(f"LMGATEWAY_CONFIG={named}\n")
    loaded = settings.load(file=None, environ=environ, dotenv=sources.dotenv)
    assert (loaded.file, loaded.config.server.port) == (named, 7)


@pytest.mark.parametrize("name", sorted({name for s in settings.SETTINGS.values() for name in s.env}))
def test_an_empty_variable_is_not_set(sources, name):
    """`VARIABLE=` in a compose file or a unit leaves the default, and protected mode, as they are."""
    assert set(sources.load(env={name: ""}).origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("gateway_env", "environment"), [("production", "production"), ("", "test")], ids=["set", "empty"]
)
def test_gateway_env_is_stronger_than_node_env(sources, gateway_env, environment):
    """NODE_ENV, which other programs set, gives way to the gateway's own variable."""
    env = {"NODE_ENV": "test", "GATEWAY_ENV": gateway_env}
    assert sources.load(env=env).config.environment == environment


@pytest.mark.parametrize(
    ("line", "key"),
    [("'a$b${HOME}#c'", "a$b${HOME}#c"), ("a#b", "a#b"), ('"two words"', "two words"), ("a=b", "a=b")],
)
def test_a_key_in_dotenv_is_taken_literally(sources, line, key):
    """A key of odd characters means the same in .env as on the wire."""
    assert sources.load(dotenv=f"GATEWAY_API_KEY={line}\n").config.auth.api_key == key


@pytest.mark.parametrize(
    ("env", "protected"),
    [
        ({}, True),
        ({"IP_ALLOWLIST": ""}, True),
        ({"IP_ALLOWLIST": "*"}, False),
        ({"GATEWAY_API_KEY": "k"}, False),
    ],
    ids=["nothing set", "allowlist empty", "allowlist *", "key"],
)
def test_only_a_choice_opens_the_gateway(sources, env, protected):
    """Without any configuration the gateway is in protected mode."""
    assert sources.load(env=env).config.protected is protected
