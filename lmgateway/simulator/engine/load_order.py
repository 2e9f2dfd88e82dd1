"""What a load is asked for."""

import msgspec

from . import load_config
from .catalogue import Model
from .faults import LoadFailed
from .load_records import Origin


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A load: the model and its settings. The default identifier is the model's key, then `key:2`, …"""

    model: Model
    identifier: str | None = None
    settings: load_config.Settings = {}
    ttl_seconds: float | None = None
    origin: Origin = "hand"

    def context_length(self) -> int:
        return load_config.context_length(load_config.applied(self.model, self.settings), self.model.type)

    def fits(self) -> bool:
        """The simulated memory is as large as a model's maximum context: a longer one exhausts it."""
        return self.context_length() <= self.model.max_context_length

    def fitted(self) -> "LoadOrder":
        """Return it with a context that fits, as LM Studio's AutoFit changes it."""
        if self.fits():
            return self
        shrunk = {load_config.context_length_key(self.model.type): self.model.max_context_length}
        return msgspec.structs.replace(self, settings={**self.settings, **shrunk})

    def check_fits(self) -> None:
        if not self.fits():
            raise LoadFailed(
                f"Insufficient system resources: a context of {self.context_length()} tokens doesn't fit, "
                f"{self.model.max_context_length} would."
            )
