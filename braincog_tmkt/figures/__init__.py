"""Pictures of finished runs, each with the numbers behind it."""

from . import activity, confusion, features, gradcam, landscape
from .base import FIGURES

__all__ = ["FIGURES", "activity", "confusion", "features", "gradcam", "landscape"]
