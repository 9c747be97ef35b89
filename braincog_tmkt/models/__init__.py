"""Networks: one file a family, found by their decorators. PyTorch and BrainCog are imported when one is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..registry import Registry, did_you_mean
from .state import load_published

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MODELS", "build_backbone", "load_published", "register_with_timm"]

MODELS = Registry("model", __name__, ["MODELS.register"])

TIMM_KEYWORDS = ("cache_dir", "pretrained_model_args")
"""What timm passes to every entry point and means nothing here."""


def build_backbone(
    name: str,
    num_classes: int,
    steps: int,
    img_size: int | tuple[int, int],
    usual: Mapping[str, Any] = MappingProxyType({}),
    **kwargs: Any,
) -> nn.Module:
    """Build a network, refusing keywords that neither it nor its node, surrogate or norm takes.

    With several processes its batch norms take the statistics of the global batch (deviation D-06).

    Args:
        name: one of `MODELS`; a network of your own that is registered with timm; or `package.module.Class`. It must
            have `event_logits` (and `streams`, for transfer); a class without it is an ANN of frames, see
            `module_network.ModuleNetwork`, and gets those of `num_classes`, `img_size` and `in_chans` that it takes.
        num_classes: K.
        steps: T.
        img_size: height and width of the frames, one number or two.
        usual: further keywords, dropped where nothing takes them.
        kwargs: keywords of the network (see `network.SpikingNetwork`), of its node, its surrogate and its norm.

    Raises:
        RecipeError: for an unknown name or keyword, with the nearest known ones; a value of a wrong type; or a network
            that does not take event frames.
    """
    from .keywords import checked

    target = target_of(name)
    network: nn.Module
    if isinstance(target, type) and not hasattr(target, "event_logits"):
        network = _module_network(name, target, num_classes, steps, img_size, usual, kwargs)
    else:
        settings = checked(name, target, kwargs, usual)
        network = target(num_classes=num_classes, step=steps, img_size=img_size, **settings)
    if not hasattr(network, "event_logits"):
        known = did_you_mean(name, MODELS)
        raise RecipeError(f"model '{name}' has no event_logits (docs/how-to/extend.md says what that is): {known}")
    synchronise = getattr(network, "synchronise_norms", None)
    if synchronise is not None:
        synchronise()
    return network


def _module_network(
    name: str, target: type, classes: int, steps: int, size: Any, usual: Mapping[str, Any], settings: dict[str, Any]
) -> nn.Module:
    """An ANN of a user's own, which knows nothing of steps."""
    from torch.nn import Module

    from .keywords import checked
    from .module_network import ModuleNetwork
    from .parts import keywords_of

    if not issubclass(target, Module):
        raise RecipeError(
            f"model '{name}' is a {target.__name__}, which is not a network: {did_you_mean(name, MODELS)}"
        )
    channels = settings.get("in_chans", 2)
    known, takes_any = keywords_of(target)
    of_frames = {"num_classes": classes, "img_size": size, "in_chans": channels}
    given = {key: value for key, value in of_frames.items() if takes_any or key in known}
    others = {key: value for key, value in settings.items() if key not in of_frames}
    made = target(**{**given, **checked(name, target, others, usual)})
    return ModuleNetwork(made, classes, steps, size, channels)


def target_of(name: str) -> Callable[..., Any]:
    """What is called to build the network `name`."""
    from timm.models import is_model, model_entrypoint

    if name in MODELS:
        return MODELS[name]
    if is_model(name):
        target: Callable[..., Any] = model_entrypoint(name)
        owner = target.__module__.partition(".")[0]
        if owner in ("timm", "braincog"):
            known = did_you_mean(name, MODELS)
            raise RecipeError(f"model '{name}' is a network of {owner}, which these methods cannot train: {known}")
        return target
    return MODELS[name]  # a dotted path; otherwise raises, with the nearest name


def register_with_timm() -> None:
    """Enter the networks and their checkpoints into timm's registry; calling it again changes nothing."""
    from timm.models import is_model, register_model

    from .pretrained import default_cfgs as found

    default_cfgs.update(found())  # timm looks for it where an entry point is defined
    tagged = (name.partition(".")[::2] for name in default_cfgs if "." in name)  # for a timm that has no tags
    for name, tag in [*((name, "") for name in MODELS), *tagged]:
        if not is_model(f"{name}.{tag}" if tag else name):
            register_model(_entry_point(name, tag))


default_cfgs: dict[str, Any] = {}
"""What timm knows of the checkpoints, by network."""


def _entry_point(name: str, tag: str = "") -> Callable[..., Any]:
    """A function that builds a network, as timm wants it."""

    def build(
        pretrained: bool | str = False, pretrained_cfg: Any = None, pretrained_cfg_overlay: Any = None, **kwargs: Any
    ) -> Any:
        given = {key: value for key, value in kwargs.items() if key not in TIMM_KEYWORDS}
        if not (pretrained or tag or pretrained_cfg or pretrained_cfg_overlay):
            return MODELS[name](**given)
        from .pretrained import create

        return create(name, MODELS[name], pretrained, pretrained_cfg or tag, pretrained_cfg_overlay, given)

    build.__name__ = build.__qualname__ = f"{name}.{tag}" if tag else name
    build.__doc__ = MODELS.identity(name).title
    globals()[build.__name__] = build  # timm adds the name to `__all__`
    return build
