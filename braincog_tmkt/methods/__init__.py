"""Methods: how networks are trained; one file each, found by their decorators."""

from .base import METHODS, Method

__all__ = ["METHODS", "Method"]
