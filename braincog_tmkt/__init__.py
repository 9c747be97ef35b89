"""TMKT, HSD and their baselines on BrainCog; importing this registers the backbones with timm.

Their names are `tmkt_*` (two streams, for transfer from images) and `hsd_*` (one stream, for conversion from an ANN).
"""

from . import interrupts  # noqa: F401  before the imports that take seconds
from .models import hsd_resnet18, hsd_resnet19, hsd_vggsnn, tmkt_resnet18, tmkt_scnn, tmkt_vggsnn

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
