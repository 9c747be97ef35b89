"""Backbones, registered with timm as `tmkt_*` and `hsd_*`. BrainCog is imported when the first one is built."""

from typing import Any

from timm import create_model
from timm.models import register_model
from torch import nn

__all__ = [
    "build_backbone",
    "hsd_resnet18",
    "hsd_resnet19",
    "hsd_vggsnn",
    "tmkt_resnet18",
    "tmkt_scnn",
    "tmkt_vggsnn",
]

FAMILIES = ("tmkt_*", "hsd_*")
"""Patterns of our names in timm's registry."""


def build_backbone(name: str, num_classes: int, steps: int, img_size: int, **kwargs: Any) -> nn.Module:
    """Build a registered backbone; the names are `tmkt_*` (two streams) and `hsd_*` (one), see `tmkt list`.

    Args:
        name: registered name, or that of a model of your own that has `event_logits` (and `streams`, for transfer).
        num_classes: K.
        steps: T.
        img_size: height and width of the frames.
        kwargs: BrainCog's keywords, see `two_stream.TwoStream`.

    Raises:
        RecipeError: for an unknown name, with the nearest known ones, or a network that does not take event frames.
    """
    from timm.models import is_model, list_models, model_entrypoint

    from ..errors import RecipeError
    from ..registry import did_you_mean

    known = did_you_mean(name, list_models(list(FAMILIES)))
    if not is_model(name):
        raise RecipeError(f"unknown model '{name}': {known}")
    owner = model_entrypoint(name).__module__.partition(".")[0]
    if owner in ("timm", "braincog"):
        raise RecipeError(f"model '{name}' is a network of {owner}, which these methods cannot train: {known}")
    network = create_model(name, num_classes=num_classes, step=steps, img_size=img_size, **kwargs)
    if not hasattr(network, "event_logits"):
        raise RecipeError(f"model '{name}' has no event_logits (docs/extending.md says what that is): {known}")
    return network


def _brain_cog_keywords(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Drop what timm's `create_model` adds and these networks cannot have (there are no pretrained weights yet)."""
    if kwargs.pop("pretrained", False):
        from ..errors import RecipeError

        raise RecipeError("there are no pretrained weights to load; build the model with pretrained=False")
    return {key: value for key, value in kwargs.items() if not key.startswith("pretrained") and key != "cache_dir"}


@register_model
def tmkt_vggsnn(**kwargs: Any) -> nn.Module:
    """VGGSNN for 48x48 frames (TMKT Table 1, N-Caltech101); keywords: see `models.two_stream.TwoStream`."""
    from .vggsnn import VGGSNN

    return VGGSNN(**_brain_cog_keywords(kwargs))


@register_model
def tmkt_resnet18(**kwargs: Any) -> nn.Module:
    """ResNet-18 for 48x48 frames (TMKT Table 1, CEP-DVS); keywords: see `models.two_stream.TwoStream`."""
    from .resnet import ResNet18

    return ResNet18(**_brain_cog_keywords(kwargs))


@register_model
def tmkt_scnn(**kwargs: Any) -> nn.Module:
    """SCNN for 28x28 frames (TMKT Table 1, N-Omniglot); keywords: see `models.two_stream.TwoStream`."""
    from .scnn import SCNN

    return SCNN(**_brain_cog_keywords(kwargs))


@register_model
def hsd_vggsnn(**kwargs: Any) -> nn.Module:
    """VGG-SNN as HSD trains it (its Table 2), one stream: an ANN of `QCFSNode` unless `node_type` says otherwise.

    `models.convert.convert` makes an SNN of the ANN; keywords: see `models.two_stream.TwoStream`.
    """
    from .one_stream import HSDVGGSNN, with_default_node

    return HSDVGGSNN(**with_default_node(_brain_cog_keywords(kwargs)))


@register_model
def hsd_resnet18(**kwargs: Any) -> nn.Module:
    """ResNet-18, one stream; as `hsd_vggsnn`."""
    from .one_stream import HSDResNet18, with_default_node

    return HSDResNet18(**with_default_node(_brain_cog_keywords(kwargs)))


@register_model
def hsd_resnet19(**kwargs: Any) -> nn.Module:
    """ResNet-19 (HSD's Table 1, CIFAR-10: `in_chans=3`), one stream; as `hsd_vggsnn`."""
    from .one_stream import ResNet19, with_default_node

    return ResNet19(**with_default_node(_brain_cog_keywords(kwargs)))
