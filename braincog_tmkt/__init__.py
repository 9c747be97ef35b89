"""TMKT, HSD and their baselines on BrainCog; importing this registers the backbones with timm.

Their names are `tmkt_*` (two streams, for transfer from images) and `hsd_*` (one stream, for conversion from an ANN).
"""

from . import interrupts  # noqa: F401  before the imports that take seconds

try:
    from .models import register_with_timm

    register_with_timm()
except (ImportError, OSError) as error:  # PyTorch or timm is missing or broken: `tmkt doctor` must run, and says so
    if (getattr(error, "name", None) or "").startswith(__name__):
        raise

__version__ = "0.1.0"
__all__ = ["__version__"]
