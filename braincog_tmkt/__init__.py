"""TMKT, HSD and their baselines on BrainCog; importing this registers the backbones with timm.

Their names are `tmkt_*` (two streams, for transfer from images) and `hsd_*` (one stream, for conversion from an ANN).
"""

from typing import Any

from . import interrupts  # noqa: F401  before the imports that take seconds

try:
    from .models import hsd_resnet18, hsd_resnet19, hsd_vggsnn, tmkt_resnet18, tmkt_scnn, tmkt_vggsnn
except (ImportError, OSError) as error:  # PyTorch or timm is missing or broken: `tmkt doctor` must run, and says so
    if (getattr(error, "name", None) or "").startswith(__name__):
        raise
    _reason = error

    def __getattr__(name: str) -> Any:
        if name in __all__:
            raise _reason
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


__version__ = "0.1.0"
__all__ = [
    "__version__",
    "hsd_resnet18",
    "hsd_resnet19",
    "hsd_vggsnn",
    "tmkt_resnet18",
    "tmkt_scnn",
    "tmkt_vggsnn",
]
