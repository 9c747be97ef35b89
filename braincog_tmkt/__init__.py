"""TMKT, HSD and their baselines on BrainCog; importing this registers the backbones with timm.

Their names are `tmkt_*` (two streams, for transfer from images) and `hsd_*` (one stream, for conversion from an ANN).
Neither PyTorch nor timm is imported before something of them is used; timm learns the names when it is imported.
"""

from contextlib import suppress
from typing import Any

from . import interrupts  # before the imports that take seconds

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


def _register_backbones(timm: Any) -> None:
    from . import models  # noqa: F401  its entry points are registered with timm


if not interrupts.is_command():  # which imports the backbones itself, before any code of a user's that wants them
    with suppress(ImportError):  # `tmkt doctor` says what is missing
        import wrapt

        wrapt.register_post_import_hook(_register_backbones, "timm")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from . import models

    return getattr(models, name)
