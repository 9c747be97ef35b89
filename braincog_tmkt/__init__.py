"""TMKT, HSD and their baselines on BrainCog; importing this registers the backbones with timm.

Their names are `tmkt_*` (two streams, for transfer from images) and `hsd_*` (one stream, for conversion from an ANN).
Neither PyTorch nor timm is imported before something of them is used; timm learns the names when it is imported.
"""

from contextlib import suppress
from typing import Any

from .models import MODELS, register_with_timm

__version__ = "0.2.0"
__all__ = ["__version__", *MODELS]

with suppress(ImportError):  # `tmkt doctor` says what is missing
    import wrapt

    wrapt.register_post_import_hook(lambda timm: register_with_timm(), "timm")


def __getattr__(name: str) -> Any:
    if name not in MODELS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return MODELS[name]
