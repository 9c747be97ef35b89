"""Pictures of finished runs, each with the numbers behind it."""

from . import activity, confusion, epochs, features, gradcam, landscape, timesteps
from .base import FIGURES, OF_RECORDS, figure_of_records

__all__ = [
    "FIGURES",
    "OF_RECORDS",
    "activity",
    "confusion",
    "epochs",
    "features",
    "figure_of_records",
    "gradcam",
    "landscape",
    "timesteps",
]
