"""A simulated LM Studio for the demo and the tests. It imports nothing of the gateway."""

from .engine import switches
from .engine.ledger import Ledger
from .engine.pace import Pace
from .engine.switches import Switches
from .serving import serve
from .simulator import Simulator

__all__ = ["Ledger", "Pace", "Simulator", "Switches", "serve", "switches"]
