"""The types of settings. A type's description completes "expected …"."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from yarl import URL

from .networks import HOST


class FilePath(str):
    """A path, with a leading ~ replaced by the home folder. Empty if none is set."""

    __slots__ = ()


# Each number has bounds, because a parser or a timer would
# reject a larger one only when a request uses it.
Flag = Annotated[bool, Meta(description="true or false")]
Port = Annotated[int, Meta(ge=0, le=65535, description="a whole number from 0 to 65535")]
Milliseconds = Annotated[
    int, Meta(ge=0, le=10**12, description="a whole number of milliseconds up to 10^12, 0 for no limit")
]
Seconds = Annotated[float, Meta(ge=0, le=10**9, description="a number of seconds from 0 to 10^9")]
Bytes = Annotated[int, Meta(ge=1, le=10**15, description="a whole number of bytes from 1 to 10^15")]
HeadBytes = Annotated[int, Meta(ge=1024, le=10**9, description="a whole number of bytes from 1,024 to 10^9")]
Count = Annotated[int, Meta(ge=1, le=10**9, description="a whole number from 1 to 10^9")]
CountOrHalf = Annotated[int, Meta(ge=0, le=10**9, description="a whole number up to 10^9, 0 for half")]
BaseUrl = Annotated[
    URL, Meta(description="an http:// or https:// URL with a host, without query, fragment or user name")
]
Host = Annotated[str, Meta(pattern=f"^{HOST}", description="an address or a host name of this machine")]
Path = Annotated[FilePath, Meta(description="a path without control characters")]
# HTTP strips outer white space from header values, so a key with it would never match.
Key = Annotated[
    str,
    Meta(
        pattern=r"^(?!\s)[^\x00-\x1f\x7f]*(?<!\s)\Z",
        description="text without control characters or outer spaces",
    ),
]
NETWORKS = Meta(description="a list of addresses, CIDR networks or *")
PROXIES = Meta(description="a list of addresses and CIDR networks")
# As browsers send them; others never match. A default port is omitted, and a name is ASCII and lower case,
# except in the scheme of an app or an extension. A page from a local file sends null or file://.
Origin = Annotated[
    str,
    Meta(
        pattern=r"^(?!http:.*:80\Z|https:.*:443\Z|(http|https|file):.*[A-Z])"
        r"(\*|null|file://|[a-z][a-z0-9+.-]*-extension://\*"
        r"|[a-z][a-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?)\Z"
    ),
]
Origins = Annotated[
    tuple[Origin, ...],
    Meta(
        description="a list of origins as browsers send them (https://name[:port] in lower case, app://name, "
        "chrome-extension://id or chrome-extension://*, null, file://) or *"
    ),
]
HostName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+\Z")]
HostNames = Annotated[tuple[HostName, ...], Meta(description="a list of host names, without port")]
Alias = Annotated[str, Meta(pattern=r"^(?!\s)[^\x00-\x1f\x7f]{1,200}(?<!\s)\Z")]
Aliases = Annotated[tuple[Alias, ...], Meta(description="a list of names or globs of 1 to 200 characters")]
LogLevel = Annotated[
    Literal["error", "warn", "warning", "info", "debug"], Meta(description="error, warn, info or debug")
]
LogFormat = Annotated[Literal["auto", "plain", "json"], Meta(description="auto, plain or json")]
Days = Annotated[int, Meta(ge=1, le=36_500, description="a whole number of days from 1 to 36,500")]
Pause = Annotated[
    int, Meta(ge=0, le=10**9, description="a whole number of milliseconds up to 10^9, 0 for never")
]
KeepAliveForm = Annotated[Literal["comment", "chunk"], Meta(description="comment or chunk")]
# 1 to 65535, without leading zeros.
_PORT_NUMBER = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
# A box's name is part of paths, of metrics' labels and of log lines.
BoxName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="1 to 64 letters (a to z), digits, -, _ and ., beginning with a letter or digit",
    ),
]
MacAddress = Annotated[
    str,
    Meta(
        pattern=r"^([0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(\2[0-9A-Fa-f]{2}){4}|[0-9A-Fa-f]{12})?\Z",
        description="a MAC address such as 00:11:22:aa:bb:cc, or nothing",
    ),
]
HostAndPort = Annotated[
    str,
    Meta(
        pattern=rf"^([A-Za-z0-9._-]{{1,253}}|\[[0-9A-Fa-f:.]{{2,45}}\])(:{_PORT_NUMBER})?\Z",
        description="an address or a host name, and a port if it isn't 9, such as 192.168.1.255:9",
    ),
]
Slots = Annotated[int, Meta(ge=0, le=10**6, description="a whole number up to 10^6, 0 for LM Studio's own")]
Minutes = Annotated[
    float, Meta(ge=0, le=10**7, description="a number of minutes from 0 to 10^7, 0 for never")
]
Share = Annotated[float, Meta(gt=0, lt=1, description="a number above 0 and below 1")]
ModelNames = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
    Meta(description="a list of models' keys"),
]
Environment = Annotated[
    Literal["development", "production", "test"], Meta(description="development, production or test")
]
