"""LM Studio over its SDK's sockets."""

import sys

# If click and rich are installed, httpx imports its command line, which takes 5 MB and isn't used here.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
