"""Known faults of LM Studio: of its version, and in what it has loaded."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from ..schema.models import LoadedModel
from ..schema.system import KnownFault

# Without what follows the release, as in 0.4.4+1.
_RELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?![0-9.])", re.ASCII)
# From LM Studio's bug tracker: 2164 and 2173, then 2220 and 2236.
_FAULTY_RELEASES = {
    "0.4.19": ("responses may end after one sentence", "Install another version of LM Studio."),
    "0.4.20": (
        'requests with the tools of Claude Code fail with status 500, "failed to parse grammar"',
        "Install another version of LM Studio. 0.4.16 doesn't have this fault.",
    ),
}
_COPY = re.compile(r"(.+):[0-9]+", re.ASCII | re.DOTALL)


def of_version(version: str | None) -> Iterator[KnownFault]:
    """Report a version with a fault that the gateway can't mend."""
    release = _RELEASE.match(version or "")
    if release and release[0] in _FAULTY_RELEASES:
        effect, remedy = _FAULTY_RELEASES[release[0]]
        yield KnownFault(f"LM Studio {release[0]} has a known fault: {effect}.", remedy)


def of_instances(instances: Iterable[LoadedModel]) -> Iterator[KnownFault]:
    """Report each model of which LM Studio has loaded a copy beside the first instance, as `key:2`."""
    models = {instance.identifier: instance.model_key for instance in instances}
    for identifier, model_key in models.items():
        copy = _COPY.fullmatch(identifier)
        if copy and models.get(copy[1]) == model_key:
            yield KnownFault(
                f"{model_key} is loaded as {copy[1]}, and again as {identifier}, which takes as much memory."
                " LM Studio does this when several requests at once find a model unloaded.",
                "If you don't need it twice: "
                f"`lmgateway unload {shlex.quote(model_key)} --id {shlex.quote(identifier)}`",
            )
