"""Methods: how networks are trained; one file each, found by their decorators."""

from typing import TYPE_CHECKING

import lazy_loader

from ..registry import Registry

if TYPE_CHECKING:
    from .base import Calibration as Calibration
    from .base import Method as Method
    from .base import Stage as Stage

METHODS = Registry("method", __name__, ["METHODS.register"], (f"{__name__}.base", "Method"))

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"base": ["Calibration", "Method", "Stage"]})
