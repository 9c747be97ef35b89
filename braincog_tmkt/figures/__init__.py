"""Pictures of finished runs, each with the numbers behind it."""

from .base import FIGURES

__all__ = ["FIGURES"]
