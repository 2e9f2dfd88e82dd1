"""LM Studio over its SDK's sockets."""

import sys

# Where click and rich happen to be installed, httpx imports its own command line: 5 MB that isn't used here.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
