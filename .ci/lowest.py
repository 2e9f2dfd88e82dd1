"""Print the lowest version that pyproject.toml allows of each direct dependency, as constraints for pip."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def lowest(text: str) -> str:
    """Return `name==version` for a requirement. Raises ValueError if it has no lower bound."""
    requirement = Requirement(text)
    bounds = [bound.version for bound in requirement.specifier if bound.operator in {">=", "~=", "=="}]
    if len(bounds) != 1:
        raise ValueError(f"pyproject.toml: {text}: a dependency needs one lower bound")
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}=={bounds[0]}{marker}"


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    print("\n".join(lowest(text) for text in project["dependencies"]))
