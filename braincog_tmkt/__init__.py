"""TMKT and its baselines on BrainCog; importing this registers the backbones `tmkt_*` with timm."""

from .models import tmkt_resnet18, tmkt_scnn, tmkt_vggsnn

__version__ = "0.1.0"
__all__ = ["__version__", "tmkt_resnet18", "tmkt_scnn", "tmkt_vggsnn"]
