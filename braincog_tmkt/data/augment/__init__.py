"""Augmentations of event frames: one file each, found by their decorators."""

from typing import TYPE_CHECKING

import lazy_loader

from ...registry import Registry

if TYPE_CHECKING:
    from .base import Augmentation as Augmentation
    from .base import build_augmentations as build_augmentations

AUGMENTS = Registry("augmentation", __name__, ["AUGMENTS.register"])

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"base": ["Augmentation", "build_augmentations"]}
)
