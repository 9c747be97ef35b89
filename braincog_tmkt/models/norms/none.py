"""No normalisation."""

from torch import nn

from . import NORMS


@NORMS.register("none", label="none")
class NoNorm(nn.Identity):
    """Leaves currents as they are; has no parameters.

    Args:
        num_features: of the currents; not used.
    """

    def __init__(self, num_features: int = 0) -> None:
        super().__init__()
