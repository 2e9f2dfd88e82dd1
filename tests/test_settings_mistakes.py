"""What an administrator reads whose configuration is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.errors import ConfigError
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
VISIBLE = "other users can see it here"
FLAG = "expected true or false"
ENVIRONMENT = "expected development, production or test"
NO_HINT = "no such setting; config.example.toml lists all settings"


@pytest.fixture
def sources(tmp_path):
    return Sources(tmp_path)


FORBIDDEN_VALUES = [
    ("server.port", "65536", PORT),
    ("server.port", "99999999999999999999", PORT),
    ("server.port", '"80"', PORT),
    ("server.port", "true", PORT),
    ("proxy.timeout_ms", "-1", MS),
    ("proxy.timeout_ms", "inf", MS),
    ("proxy.max_body_bytes", "0", BYTES),
    ("proxy.max_body_bytes", f"{2**64}", BYTES),
    ("limits.head_bytes", "10", "expected a whole number of bytes from 1,024 to 10^9"),
    ("server.drain_seconds", "inf", "expected a number of seconds from 0 to 10^9"),
    ("auth.require_for_health", "1", FLAG),
    ("environment", '"prod"', ENVIRONMENT),
    ("lmstudio.log_dir", "1", PATH, "not text"),
    ("server.tls_key", '"a\\u0000"', PATH, "contains control characters"),
    ("lmstudio.base_url", '"http://h:1/v1/"', BASE, "ends in /v1, which each request adds"),
    ("lmstudio.base_url", '"http://h/a\\tb"', BASE, "contains blanks or control characters"),
    ("network.trusted_proxies", '"*"', PROXIES, "'*' would let every client choose its own address"),
    ("network.trusted_proxies", "5", PROXIES),
    ("network.ip_allowlist", "[]", NETWORKS, "it is empty"),
]
MISTAKES = [
    ("[server]\nport = 2024-01-01", f'server.port: invalid value "2024-01-01", {PORT}'),
    ('"a\\nb" = 1', f'"a\\nb": {NO_HINT}'),
    ("[server]\nprot = 1", "server.prot: no such setting; did you mean server.port?"),
    ("[serve]\nport = 1", "serve: no such setting; did you mean server?"),
    ("port = 1", "port: no such setting; did you mean server.port?"),
    ("zzz = 1", f"zzz: {NO_HINT}"),
    ("server = 1", "server: is a table: write its settings below [server]"),
    ("[auth]\napi_key = 12345", f"auth.api_key: {SECRET}"),
    ("[auth]\nkey = 's3cret'", "auth.key: no such setting; did you mean auth.api_key?"),
    ("[server\n", "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 8)"),
    (b"[server]\nhost = '\xff'", "is not UTF-8 at byte 17"),
]
# By variable: what is allowed, and forbidden values with their reasons.
VARIABLES = {
    "GATEWAY_PORT": (PORT, {"80a": ""}),
    "GATEWAY_HOST": (HOST, dict.fromkeys(("[::1]", "a..b", ".", "a" * 64), "")),
    "GATEWAY_NAMES": ("expected a list of host names, without port", {"ai.example:80": ""}),
    "GATEWAY_STATE_DIR": (PATH, {"~nobody-here/x": "unknown user"}),
    "PROXY_TIMEOUT": (MS, {"1" + "0" * 350: ""}),
    "REQUIRE_AUTH_FOR_HEALTH": (FLAG, {"maybe": ""}),
    "LOG_LEVEL": ("expected error, warn, info or debug", {"loud": ""}),
    "LOG_FORMAT": ("expected auto, plain or json", {"xml": ""}),
    "NODE_ENV": (ENVIRONMENT, {"staging": ""}),
    "IP_ALLOWLIST": (NETWORKS, {",": "it is empty", "*, lan": "'lan' is no address and no network"}),
    "TRUSTED_PROXIES": (PROXIES, {"::1/200": "'::1/200' is no address and no network"}),
    "CORS_ORIGINS": (
        ORIGINS,
        dict.fromkeys(
            (
                *("https://*.example", "https://a.example:443", "http://a.example:80", "https://A.example"),
                *("https://a.example:port", "https://bücher.example", "https://a.example/", "app://*"),
                "file:///home",
            ),
            "",
        ),
    ),
    "LMSTUDIO_BASE_URL": (
        BASE,
        {
            "http://a b": "contains blanks or control characters",
            "http://a..b": "its host name is invalid",
            "localhost:1234": "not an http:// or https:// URL",
            "http://h?a=1": "contains more than scheme, host, port and path",
            "http://h:66666": "Port out of range 0-65535",
        },
    ),
}


@pytest.mark.parametrize("row", FORBIDDEN_VALUES, ids=lambda row: f"{row[0]} = {row[1]}")
def test_a_forbidden_value_in_the_file_is_one_line(sources, row):
    """It names the file, the setting's full path, the value and what is allowed."""
    path, value, allowed, *why = row
    reason = f" ({why[0]})" if why else ""
    assert sources.problems(f"{path} = {value}") == [
        f"config.toml: {path}: invalid value {value}{reason}, {allowed}"
    ]


@pytest.mark.parametrize(("toml", "message"), MISTAKES)
def test_a_mistake_in_the_file_is_one_line(sources, toml, message):
    """It names the setting that was probably intended, and repeats no secret."""
    assert sources.problems(toml) == [f"config.toml: {message}"]


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, (_, texts) in VARIABLES.items() for text in texts]
)
def test_a_forbidden_value_of_a_variable_is_one_line(sources, name, text):
    """It names the variable as the administrator wrote it."""
    allowed, reasons = VARIABLES[name]
    reason = f" ({reasons[text]})" if reasons[text] else ""
    assert sources.problems(env={name: text}) == [
        f'environment: {name}: invalid value "{text}"{reason}, {allowed}'
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [("GATEWAY_API_KEY", " s3cret"), ("GATEWAY_API_KEY", "s3cret\n"), ("LMSTUDIO_API_TOKEN", "s3\x00cret")],
)
def test_a_forbidden_secret_is_not_repeated(sources, name, text):
    assert sources.problems(env={name: text}) == [f"environment: {name}: {SECRET}"]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("server.port", "", f'invalid value "", {PORT}'),
        ("server.prot", "1", "no such setting; did you mean server.port?"),
        ("auth.api_key", "s3cret", f"{VISIBLE}: set it with GATEWAY_API_KEY or in the file"),
        ("lmstudio.api_token", "s3cret", f"{VISIBLE}: set it with LMSTUDIO_API_TOKEN or in the file"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(sources, path, text, message):
    """A secret is refused there, where every user of the machine could read it."""
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


def test_unreadable_credentials_are_a_mistake(sources, tmp_path):
    """A folder of secrets without access is reported, and doesn't start a gateway without a key."""
    folder = tmp_path / ("x" * 300)  # what root can't look up either
    [problem] = sources.problems(env={"CREDENTIALS_DIRECTORY": str(folder)})
    assert problem.endswith(": can't be read: File name too long")


def test_all_mistakes_are_reported_at_once(sources):
    """Five mistakes take one failed start."""
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
        *("http://admin:s3cret@h", "http://s3cret@h:port", "http://admin:s3?cret@h"),
        *("http://admin:my@s3cret@h", "http://admin:my/s3cret@h", "admin:s3cret@h:1234"),
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
    """A TOML error and a bad variable are reported together."""
    assert len(sources.problems("[server\n", env={"GATEWAY_PORT": "x"})) == 2


@pytest.mark.parametrize("given", [{"dotenv": b"GATEWAY_HOST=\xff"}, {"env": {"LOG_LEVEL": "\udcff"}}])
def test_text_that_is_not_utf_8_is_a_mistake(sources, given):
    """A stray byte is one line, not a traceback."""
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
    """PowerShell's `>>` appends UTF-16: such a key doesn't start a gateway without a key."""
    assert sources.problems(**{source: content}) == [problem]


@pytest.mark.parametrize(
    ("content", "problem"),
    [("secret\r\n".encode("utf-16"), UTF_16), ("secret\r\n".encode("utf-16-le"), f"line 1 {NUL}")],
)
def test_a_credential_in_another_encoding_is_a_mistake(sources, tmp_path, content, problem):
    """No client could send such a key."""
    (tmp_path / "GATEWAY_API_KEY").write_bytes(content)
    assert sources.problems(env={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == [f"GATEWAY_API_KEY: {problem}"]


def test_a_line_of_dotenv_that_cannot_be_read_is_a_mistake(sources):
    """A key with an unclosed quote doesn't start a gateway without a key."""
    assert len(sources.problems(dotenv="GATEWAY_API_KEY='s3cret\nIP_ALLOWLIST=*\n")) == 1


@pytest.mark.parametrize(
    "toml", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "9" * 5000], ids=["deep", "long"]
)
def test_toml_that_breaks_the_parser_is_a_mistake(sources, toml):
    [problem] = sources.problems(toml)
    assert problem.startswith("config.toml: is n")


@pytest.mark.parametrize(
    ("pins", "sentence"),
    [
        ('["a", "b"]', "residency.pin: 2 models are pinned, but residency.max_models is 1"),
        (
            '["text-embedding-a", "text-embedding-b"]',
            "residency.pin: 2 embedding models are pinned, but residency.max_models is 1",
        ),
    ],
)
def test_more_pins_than_models_may_be_in_memory(tmp_path: Path, pins: str, sentence: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[residency]\npin = {pins}\n")
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        settings.load(file=file, environ={})


def test_a_pin_of_each_type_and_the_same_one_twice(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[residency]\npin = ["a", "a", "text-embedding-a"]\n')
    assert settings.load(file=file, environ={}).config.residency.pin == ("a", "a", "text-embedding-a")
