"""The machine's memory for models, in bytes."""

from .catalogue import Model
from .faults import GuardrailRefusal, LoadFailed

ENGINE_REASON = "error loading model: unable to allocate CUDA0 buffer"


class Room:
    """Models take as many bytes as they have on disk. With `total_bytes` = 0 all of them fit.

    `others_bytes` is what other programs of the machine have taken; a test may change both.
    """

    def __init__(self, total_bytes: int, *, guardrail: bool) -> None:
        self.total_bytes = total_bytes
        self.taken_bytes = 0
        self.others_bytes = 0
        self._guardrail = guardrail

    def begin(self, model: Model) -> None:
        """The guardrail's estimate when a load begins. Raises GuardrailRefusal."""
        if self._guardrail and not self._fits(model):
            raise GuardrailRefusal(model.size_bytes)

    def take(self, model: Model) -> None:
        """The engine allocates the model's bytes, half-way through its load. Raises LoadFailed."""
        if not self._fits(model):
            raise LoadFailed(ENGINE_REASON)
        self.taken_bytes += model.size_bytes

    def give_back(self, model: Model) -> None:
        self.taken_bytes -= model.size_bytes

    def _fits(self, model: Model) -> bool:
        taken = self.taken_bytes + self.others_bytes
        return self.total_bytes == 0 or taken + model.size_bytes <= self.total_bytes
