"""Augmentations of event frames: one file each, found by their decorators."""

from .base import AUGMENTS, Augmentation, build_augmentations

__all__ = ["AUGMENTS", "Augmentation", "build_augmentations"]
