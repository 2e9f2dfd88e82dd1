"""Where the configuration comes from, and what an administrator reads who got it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

from lmgateway import settings
from lmgateway.errors import ConfigError
from lmgateway.networks import Allowlist, Networks
from lmgateway.settings import files
from tests.support.sources import Sources

PORT = "expected a whole number from 0 to 65535"
MS = "expected a whole number of milliseconds up to 10^12, 0 for no limit"
BYTES = "expected a whole number of bytes from 1 to 10^15"
BASE = "expected an http:// or https:// URL with a host, without query, fragment or user name"
NETWORKS = "expected a list of addresses, CIDR networks or *"
PROXIES = "expected a list of addresses and CIDR networks"
SECRET = "invalid value (not shown), expected text without control characters or outer spaces"
ORIGINS = (
    "expected a list of origins as browsers send them (https://name[:port] in lower case, app://name, "
    "chrome-extension://id or chrome-extension://*, null, file://) or *"
)
HOST = "expected an address or a host name of this machine"
PATH = "expected a path without control characters"
FLAG = "expected true or false"
ENVIRONMENT = "expected development, production or test"
NO_HINT = "no such setting; config.example.toml lists all settings"


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
    """A stronger source takes from a weaker one the setting it names, and nothing beside it."""
    server = sources.load("[server]\nport = 1\nhost = '::'", env={"GATEWAY_PORT": "2"}).config.server
    assert (server.host, server.port) == ("::", 2)


@pytest.mark.parametrize(
    ("chosen", "environ", "found"),
    [
        (Path("chosen.toml"), {"LMGATEWAY_CONFIG": "named.toml"}, "chosen.toml"),
        (None, {"LMGATEWAY_CONFIG": "named.toml"}, "named.toml"),
        (None, {"LMGATEWAY_CONFIG": ""}, "config.toml"),
        (None, {}, "config.toml"),
    ],
    ids=["--config", "LMGATEWAY_CONFIG", "LMGATEWAY_CONFIG empty", "working directory"],
)
def test_the_file_that_was_named_is_read(tmp_path, monkeypatch, chosen, environ, found):
    """--config > $LMGATEWAY_CONFIG > ./config.toml; a named file is read even if another lies ready."""
    (tmp_path / "config.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert files.find_file(chosen, environ) == Path(found)


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
    """An .env or compose file of the older gateways goes on working."""
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
    """Everybody who reads the setting finds the same file."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    assert value_at(sources.load(cli={path: "~/x"}).config, path) == "/home/somebody/x"


@pytest.mark.parametrize("host", ["::", "fe80::1%eth0.1", "0.0.0.0", "a_b-c.example.", "a" * 63])
def test_addresses_and_names_are_hosts(sources, host):
    assert sources.load(env={"GATEWAY_HOST": host}).config.server.host == host


@pytest.mark.parametrize(
    "toml", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "9" * 5000], ids=["deep", "long"]
)
def test_toml_that_breaks_the_parser_is_a_mistake(sources, toml):
    [problem] = sources.problems(toml)
    assert problem.startswith("config.toml: is n")


@pytest.mark.parametrize("environ", [{}, {"LMGATEWAY_CONFIG": ""}], ids=["not set", "empty"])
def test_dotenv_may_name_the_file(sources, tmp_path, environ):
    """Who names it there means it; without its key the gateway would be another one."""
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
    """Nobody is exposed to a LAN by having configured nothing."""
    assert sources.load(env=env).config.protected is protected


MISTAKES = [
    ("too large", "[server]\nport = 65536", f"server.port: invalid value 65536, {PORT}"),
    (
        "huge",
        "[server]\nport = 99999999999999999999",
        f"server.port: invalid value 99999999999999999999, {PORT}",
    ),
    ("text for a number", '[server]\nport = "80"', f'server.port: invalid value "80", {PORT}'),
    ("flag for a number", "[server]\nport = true", f"server.port: invalid value true, {PORT}"),
    ("date for a number", "[server]\nport = 2024-01-01", f'server.port: invalid value "2024-01-01", {PORT}'),
    ("negative", "[proxy]\ntimeout_ms = -1", f"proxy.timeout_ms: invalid value -1, {MS}"),
    ("no bytes", "[proxy]\nmax_body_bytes = 0", f"proxy.max_body_bytes: invalid value 0, {BYTES}"),
    (
        "number for a flag",
        "[auth]\nrequire_for_health = 1",
        f"auth.require_for_health: invalid value 1, {FLAG}",
    ),
    ("no such choice", 'environment = "prod"', f'environment: invalid value "prod", {ENVIRONMENT}'),
    ("number for text", "[lmstudio]\nlog_dir = 1", f"lmstudio.log_dir: invalid value 1 (not text), {PATH}"),
    (
        "NUL",
        '[server]\ntls_key = "a\\u0000"',
        f'server.tls_key: invalid value "a\\u0000" (contains control characters), {PATH}',
    ),
    (
        "too many bytes",
        f"[proxy]\nmax_body_bytes = {2**64}",
        f"proxy.max_body_bytes: invalid value {2**64}, {BYTES}",
    ),
    (
        "a head that nothing fits into",
        "[limits]\nhead_bytes = 10",
        "limits.head_bytes: invalid value 10, expected a whole number of bytes from 1,024 to 10^9",
    ),
    (
        "everybody's word",
        '[network]\ntrusted_proxies = "*"',
        """network.trusted_proxies: invalid value "*" ('*' would let every client choose its own address), """
        + PROXIES,
    ),
    (
        "a client's base URL",
        '[lmstudio]\nbase_url = "http://h:1/v1/"',
        f'lmstudio.base_url: invalid value "http://h:1/v1/" (ends in /v1, which each request adds), {BASE}',
    ),
    (
        "eternity",
        "[server]\ndrain_seconds = inf",
        "server.drain_seconds: invalid value inf, expected a number of seconds from 0 to 10^9",
    ),
    ("control characters in a key", '"a\\nb" = 1', f'"a\\nb": {NO_HINT}'),
    (
        "tab in a URL",
        '[lmstudio]\nbase_url = "http://h/a\\tb"',
        f'lmstudio.base_url: invalid value "http://h/a\\tb" (contains blanks or control characters), {BASE}',
    ),
    (
        "nobody",
        "[network]\nip_allowlist = []",
        f"network.ip_allowlist: invalid value [] (it is empty), {NETWORKS}",
    ),
    ("no list", "[network]\ntrusted_proxies = 5", f"network.trusted_proxies: invalid value 5, {PROXIES}"),
    ("unknown key", "[server]\nprot = 1", "server.prot: no such setting; did you mean server.port?"),
    ("unknown table", "[serve]\nport = 1", "serve: no such setting; did you mean server?"),
    ("key without table", "port = 1", "port: no such setting; did you mean server.port?"),
    ("nothing like it", "zzz = 1", f"zzz: {NO_HINT}"),
    ("value for a table", "server = 1", "server: is a table: write its settings below [server]"),
    ("secret, wrong type", "[auth]\napi_key = 12345", f"auth.api_key: {SECRET}"),
    ("secret, misplaced", "[auth]\nkey = 's3cret'", "auth.key: no such setting; did you mean auth.api_key?"),
    (
        "broken",
        "[server\n",
        "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 8)",
    ),
    ("not UTF-8", b"[server]\nhost = '\xff'", "is not UTF-8 at byte 17"),
]
VARIABLES = [
    ("GATEWAY_PORT", "80a", f'invalid value "80a", {PORT}'),
    ("GATEWAY_HOST", "[::1]", f'invalid value "[::1]", {HOST}'),
    ("GATEWAY_HOST", "a..b", f'invalid value "a..b", {HOST}'),
    ("GATEWAY_HOST", ".", f'invalid value ".", {HOST}'),
    ("GATEWAY_HOST", "a" * 64, f'invalid value "{"a" * 64}", {HOST}'),
    ("GATEWAY_STATE_DIR", "~nobody-here/x", f'invalid value "~nobody-here/x" (unknown user), {PATH}'),
    ("PROXY_TIMEOUT", "1" + "0" * 350, f'invalid value "1{"0" * 350}", {MS}'),
    ("CORS_ORIGINS", "https://*.example", f'invalid value "https://*.example", {ORIGINS}'),
    ("CORS_ORIGINS", "https://a.example:443", f'invalid value "https://a.example:443", {ORIGINS}'),
    ("CORS_ORIGINS", "http://a.example:80", f'invalid value "http://a.example:80", {ORIGINS}'),
    ("CORS_ORIGINS", "https://a.example:port", f'invalid value "https://a.example:port", {ORIGINS}'),
    ("CORS_ORIGINS", "https://bücher.example", f'invalid value "https://bücher.example", {ORIGINS}'),
    (
        "LMSTUDIO_BASE_URL",
        "http://a b",
        f'invalid value "http://a b" (contains blanks or control characters), {BASE}',
    ),
    ("LMSTUDIO_BASE_URL", "http://a..b", f'invalid value "http://a..b" (its host name is invalid), {BASE}'),
    (
        "GATEWAY_NAMES",
        "ai.example:80",
        'invalid value "ai.example:80", expected a list of host names, without port',
    ),
    ("REQUIRE_AUTH_FOR_HEALTH", "maybe", f'invalid value "maybe", {FLAG}'),
    ("LOG_LEVEL", "loud", 'invalid value "loud", expected error, warn, info or debug'),
    ("LOG_FORMAT", "xml", 'invalid value "xml", expected auto, plain or json'),
    ("NODE_ENV", "staging", f'invalid value "staging", {ENVIRONMENT}'),
    ("GATEWAY_API_KEY", " s3cret", SECRET),
    ("GATEWAY_API_KEY", "s3cret\n", SECRET),
    ("LMSTUDIO_API_TOKEN", "s3\x00cret", SECRET),
    ("IP_ALLOWLIST", ",", f'invalid value "," (it is empty), {NETWORKS}'),
    ("IP_ALLOWLIST", "*, lan", f"invalid value \"*, lan\" ('lan' is no address and no network), {NETWORKS}"),
    (
        "TRUSTED_PROXIES",
        "::1/200",
        f"invalid value \"::1/200\" ('::1/200' is no address and no network), {PROXIES}",
    ),
    ("CORS_ORIGINS", "https://a.example/", f'invalid value "https://a.example/", {ORIGINS}'),
    ("CORS_ORIGINS", "app://*", f'invalid value "app://*", {ORIGINS}'),
    ("CORS_ORIGINS", "file:///home", f'invalid value "file:///home", {ORIGINS}'),
    (
        "LMSTUDIO_BASE_URL",
        "localhost:1234",
        f'invalid value "localhost:1234" (not an http:// or https:// URL), {BASE}',
    ),
    (
        "LMSTUDIO_BASE_URL",
        "http://h?a=1",
        f'invalid value "http://h?a=1" (contains more than scheme, host, port and path), {BASE}',
    ),
    (
        "LMSTUDIO_BASE_URL",
        "http://h:66666",
        f'invalid value "http://h:66666" (Port out of range 0-65535), {BASE}',
    ),
]
OPTIONS = [
    ("server.port", "", f'invalid value "", {PORT}'),
    ("server.prot", "1", "no such setting; did you mean server.port?"),
    ("auth.api_key", "s3cret", "other users can see it here: set it with GATEWAY_API_KEY or in the file"),
    (
        "lmstudio.api_token",
        "s3cret",
        "other users can see it here: set it with LMSTUDIO_API_TOKEN or in the file",
    ),
]
INFINITE = ("[proxy]\ntimeout_ms = inf", f"proxy.timeout_ms: invalid value inf, {MS}")
CAPITALS = ("CORS_ORIGINS", "https://A.example", f'invalid value "https://A.example", {ORIGINS}')


@pytest.mark.parametrize(
    ("toml", "message"),
    [pytest.param(*row, id=name) for name, *row in MISTAKES] + [pytest.param(*INFINITE, id="infinite")],
)
def test_a_mistake_in_the_file_is_one_line(sources, toml, message):
    """The line names the file, the setting's full path, what was found and what is allowed."""
    assert sources.problems(toml) == [f"config.toml: {message}"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [pytest.param(*row, id=f"{row[0]}={row[1]!r}") for row in VARIABLES]
    + [pytest.param(*CAPITALS, id="origin in capitals")],
)
def test_a_mistake_in_the_environment_is_one_line(sources, name, text, message):
    """The line names the variable as the administrator wrote it, and never repeats a secret."""
    assert sources.problems(env={name: text}) == [f"environment: {name}: {message}"]


@pytest.mark.parametrize(("path", "text", "message"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_a_mistake_on_the_command_line_is_one_line(sources, path, text, message):
    """A wrong option is named; a secret is refused there, where every user of the machine could read it."""
    assert sources.problems(cli={path: text}) == [f"command line: {path}: {message}"]


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda path: None, "No such file or directory"), (Path.mkdir, "Is a directory")],
    ids=["missing", "folder"],
)
def test_a_file_that_was_named_must_be_readable(tmp_path, make, message):
    """A mistyped --config doesn't start the gateway with its defaults."""
    file = tmp_path / "mine.toml"
    make(file)
    with pytest.raises(ConfigError) as caught:
        settings.load(file=file, environ={}, dotenv=tmp_path / ".env")
    assert caught.value.problems == [f"{file}: can't be read: {message}"]


def test_credentials_that_cannot_be_looked_up_are_a_mistake(sources, tmp_path):
    """A folder of secrets that isn't to be entered is no gateway without a key, and no traceback."""
    folder = tmp_path / ("x" * 300)  # what root can't look up either
    [problem] = sources.problems(env={"CREDENTIALS_DIRECTORY": str(folder)})
    assert problem.endswith(": can't be read: File name too long")


def test_every_mistake_is_told_at_once(sources):
    """Nobody has to start the gateway five times to find five mistakes."""
    problems = sources.problems(
        "zzz = 1\n[server]\nport = -1",
        dotenv="LOG_LEVEL=x",
        env={"GATEWAY_PORT": "y"},
        cli={"server.host": " "},
    )
    starts = ["config.toml: zzz", "config.toml: server.port", ".env: LOG_LEVEL", "environment: GATEWAY_PORT"]
    assert [": ".join(line.split(": ")[:2]) for line in problems] == [*starts, "command line: server.host"]


@pytest.mark.parametrize(
    "url",
    [
        "http://admin:s3cret@h",
        "http://s3cret@h:port",
        "http://admin:s3?cret@h",
        pytest.param("http://admin:my@s3cret@h"),
        pytest.param("http://admin:my/s3cret@h"),
        pytest.param("admin:s3cret@h:1234"),
    ],
)
def test_a_password_in_the_base_url_is_masked(sources, url):
    """A start that fails doesn't write a password into a journal that others read."""
    [problem] = sources.problems(env={"LMSTUDIO_BASE_URL": url})
    assert "cret" not in problem


def test_a_secret_in_the_place_of_its_table_is_not_shown(sources):
    """`auth = "key"` for `[auth]` doesn't write the key into the journal."""
    assert "s3cret" not in "".join(sources.problems('auth = "s3cret"'))


def test_a_broken_file_hides_no_other_mistake(sources):
    """A TOML error and a bad variable are told at once."""
    assert len(sources.problems("[server\n", env={"GATEWAY_PORT": "x"})) == 2


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"dotenv": b"GATEWAY_HOST=\xff"}, id=".env"),
        pytest.param({"env": {"LOG_LEVEL": "\udcff"}}, id="variable"),
    ],
)
def test_text_that_is_not_utf_8_is_a_mistake(sources, given):
    """A stray byte is told in one line, and not by a traceback."""
    assert len(sources.problems(**given)) == 1


SAVE = "Save the file as UTF-8 (in PowerShell: Add-Content or Set-Content with -Encoding utf8)."
UTF_16, NUL = f"is UTF-16. {SAVE}", f"has NUL characters: it is UTF-16. {SAVE}"
INVISIBLE = "has an invisible character in its name; write the line again"
OPEN, KEY = "IP_ALLOWLIST=*\r\n", "GATEWAY_API_KEY=secret\r\n"
TABLES = '[auth]\napi_key = "secret"\n'
ENCODED = [
    ("appended", "dotenv", OPEN.encode() + KEY.encode("utf-16-le"), f".env: line 2 {NUL}"),
    ("all of it", "dotenv", (OPEN + KEY).encode("utf-16-le"), f".env: line 1 {NUL}"),
    ("big-endian", "dotenv", (OPEN + KEY).encode("utf-16-be"), f".env: line 1 {NUL}"),
    ("with a mark", "dotenv", (OPEN + KEY).encode("utf-16"), f".env: {UTF_16}"),
    ("another mark", "dotenv", b"\xfe\xff" + (OPEN + KEY).encode("utf-16-be"), f".env: {UTF_16}"),
    ("UTF-32", "dotenv", (OPEN + KEY).encode("utf-32-be"), f".env: line 1 {NUL}"),
    ("mark inside", "dotenv", f"{OPEN}\n\ufeff{KEY}".encode(), f".env: line 3 {INVISIBLE}"),
    ("no width", "dotenv", f"{OPEN}\u200b{KEY}".encode(), f".env: line 2 {INVISIBLE}"),
    ("TOML, appended", "toml", b"[server]\n" + TABLES.encode("utf-16-le"), f"config.toml: line 2 {NUL}"),
    ("TOML with a mark", "toml", TABLES.encode("utf-16"), f"config.toml: {UTF_16}"),
]


@pytest.mark.parametrize(
    ("source", "content", "problem"), [pytest.param(*row, id=name) for name, *row in ENCODED]
)
def test_a_key_in_another_encoding_is_a_mistake(sources, source, content, problem):
    """PowerShell's `>>` appends UTF-16: a key written so isn't a gateway without a key."""
    assert sources.problems(**{source: content}) == [problem]


@pytest.mark.parametrize(
    ("content", "problem"),
    [("secret\r\n".encode("utf-16"), UTF_16), ("secret\r\n".encode("utf-16-le"), f"line 1 {NUL}")],
)
def test_a_credential_in_another_encoding_is_a_mistake(sources, tmp_path, content, problem):
    """A key nobody can send isn't a key."""
    (tmp_path / "GATEWAY_API_KEY").write_bytes(content)
    assert sources.problems(env={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == [f"GATEWAY_API_KEY: {problem}"]


def test_a_line_of_dotenv_that_cannot_be_read_is_a_mistake(sources):
    """A key whose quote was never closed isn't a gateway without a key."""
    assert len(sources.problems(dotenv="GATEWAY_API_KEY='s3cret\nIP_ALLOWLIST=*\n")) == 1
