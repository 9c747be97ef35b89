"""BrainCog's contract: what its keywords mean here, and what a script may change on a finished network.

BrainCog's scripts pass the same keywords to every network, set attributes of nodes, and put other layers in their
places. Each acts as on BrainCog's own networks, or is refused in one sentence: docs/how-to/braincog.md has all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, NoReturn

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..bridge import BaseNode, brain_cog_module
from ..errors import RecipeError
from ..registry import did_you_mean
from .all_steps import AllSteps, SampleDropout
from .multi_step import MultiStep
from .norms.step import StepBatchNorm2d
from .parts import keywords_of, norm_class

Encoder: Any = brain_cog_module("base.encoder.encoder").Encoder

ONLY: dict[str, Any] = {
    "temporal_flatten": False,
    "n_groups": 1,
    "spike_output": False,
    "n_preact": False,
    "adaptive_node": False,
    "inplanes": 64,
    "zero_init_residual": False,
    "norm_layer": None,
    "replace_stride_with_dilation": None,
}
"""BrainCog's keywords whose other values would make another network, and the value that is taken."""

NO_MEANING = ("n_encode_type", "sew_cnf", "conv_type", "drop_rate", "drop_path_rate", "bn_tf")
"""Those that BrainCog's scripts pass for other networks; BrainCog's own VGG_SNN and ResNets ignore them, too."""

CHANNELS = {
    **dict.fromkeys(("dvsg", "dvsc10", "ncaltech101", "ncars", "ucf101dvs", "hmdbdvs", "bullyingdvs"), 2),
    **dict.fromkeys(("nomni", "nmnist", "esimnet"), 2),
    **dict.fromkeys(("mnist", "fashion"), 1),
    **dict.fromkeys(("cifar10", "cifar100", "tinyimagenet", "imnet", "cub2002011"), 3),
    **dict.fromkeys(("stanfordcars", "stanforddogs", "fgvcaircraft", "flowers102"), 3),
}
"""Channels of the frames of BrainCog's loaders, by the names (in lower case) of its keyword `dataset`."""

LARGE_STEM = ("imnet", "esimnet")
"""Data sets for which BrainCog's ResNet-18 has another first convolution, of 7x7 pixels and stride 2."""

EXECUTIONS = ("multi_step", "step")

INITS = ("pytorch", "kaiming")

ENCODINGS = ("direct", "rate", "ttfs", "phase", "auto")
BROKEN_ENCODINGS = ("ttfs", "phase", "auto")
"""Those that fail in BrainCog's own encoder, which reads an attribute `device` that it has not."""


def channels_for(name: str, dataset: str | None, in_chans: int | None, other_stem: tuple[str, ...] = ()) -> int:
    """Channels of the frames, from BrainCog's `dataset` and timm's `in_chans`; 2 if neither is given.

    Args:
        name: of the network, for messages.
        dataset: BrainCog's name of a data set, in any case.
        in_chans: a number, which must agree.
        other_stem: data sets for which BrainCog's own network has another first convolution.

    Raises:
        RecipeError: for a data set without frames, of an unknown name or with another first convolution, or two numbers
            that differ.
    """
    if dataset is None:
        return 2 if in_chans is None else in_chans
    if dataset.lower() in other_stem:
        raise RecipeError(
            f"{name} has a first convolution of 3x3 pixels, BrainCog's for dataset '{dataset}' 7x7 and stride 2: leave"
            " out dataset and give in_chans to train with 3x3"
        )
    channels = CHANNELS.get(dataset.lower(), in_chans)
    if channels is None:
        known = did_you_mean(dataset, CHANNELS)
        raise RecipeError(
            f"{name} does not know dataset '{dataset}', so it needs in_chans, the channels of a frame: {known}"
        )
    if in_chans not in (None, channels):
        raise RecipeError(f"{name}: dataset '{dataset}' has {channels} channels, but in_chans is {in_chans}")
    return channels


def norm_for(name: str, norm: Any, usual: str, layer_by_layer: bool | None) -> Any:
    """The norm, from ours and BrainCog's `layer_by_layer`, which decides how its networks take their statistics.

    Args:
        name: of the network, for messages.
        norm: what was asked for; None for no wish.
        usual: the network's own choice.
        layer_by_layer: True: statistics over all steps together; False: over each step by itself; None: not said.

    Raises:
        RecipeError: if a network that normalises over all steps together is to run step by step.
    """
    if layer_by_layer is None:
        return norm or usual
    if not isinstance(layer_by_layer, bool):
        raise RecipeError(f"{name}: layer_by_layer must be True or False, not {layer_by_layer!r}")
    chosen = norm or ({"step": "shared"} if layer_by_layer else {"shared": "step"}).get(usual, usual)
    over_all = getattr(norm_class(chosen), "shared", layer_by_layer)
    if over_all != layer_by_layer:
        how = "all time steps together" if over_all else "each time step by itself"
        raise RecipeError(
            f"{name}: norm '{chosen}' takes its statistics over {how}, so layer_by_layer must be {over_all}"
            f" (--layer-by-layer in BrainCog's scripts), not {layer_by_layer}"
        )
    return chosen


def check_keywords(name: str, settings: Mapping[str, Any], parts: tuple[Any, ...], own: Mapping[str, Any]) -> None:
    """Refuse values of BrainCog's keywords that would make another network; warn of keywords that nothing takes.

    Args:
        name: of the network, for messages.
        settings: keywords beyond the network's own.
        parts: the node, the surrogate, the norm and the attention, which take some of them.
        own: the network's own keywords, for the nearest name.

    Raises:
        RecipeError: for such a value.
    """
    known = {key for part in parts for key in keywords_of(part)[0]}.union(own, ONLY, NO_MEANING)
    for key, value in settings.items():
        if key in ONLY and value != ONLY[key]:
            raise RecipeError(f"{name} takes {key}={ONLY[key]} only, not {value!r}")
        if key not in known:
            nearest = did_you_mean(key, known)
            warnings.warn(f"{name} ignores the keyword '{key}', as BrainCog's networks do: {nearest}", stacklevel=4)


def lay_out(network: nn.Module, all_steps: bool, steps: int, streams: int) -> list[StepBatchNorm2d | SampleDropout]:
    """Tell nodes and norms how their inputs are made up: the given steps of the given streams, the event stream last.

    Args:
        network: whose parts are told.
        all_steps: whether a layer sees all steps at once.
        steps: T of an input, 1 unless `all_steps`.
        streams: S of an input.

    Returns:
        The batch norms and dropouts, which want to know the number of a step that runs alone.

    Raises:
        RecipeError: for a part that would treat the steps otherwise, which can only be there if it was changed or
            replaced after the network was built.
    """
    timed: list[StepBatchNorm2d | SampleDropout] = []
    for name, part in network.named_modules():
        if isinstance(part, StepBatchNorm2d):
            part.steps, part.streams, part.first_step, part.has_events = steps, streams, 0, True
            timed.append(part)
        elif isinstance(part, BaseNode):
            _lay_out_node(name, part, all_steps, steps)
        elif isinstance(part, AllSteps):
            if not all_steps:
                raise _sees_all_steps(name, part)
            part.steps = steps
        elif isinstance(part, SampleDropout):
            part.steps, part.first_step = steps, 0
            timed.append(part)
        elif isinstance(part, _BatchNorm) and all_steps and not getattr(part, "shared", False):
            way_out = (
                "leave the network's norms in their places and call its synchronise_norms()"
                if isinstance(part, nn.SyncBatchNorm)
                else "build the network with norm='step' or 'shared'"
            )
            raise RecipeError(
                f"'{name}' is a {type(part).__name__}, which would normalise all time steps together in execution"
                f" multi_step: {way_out}, or build it with execution='step'"
            )
    return timed


def begin_step(timed: Iterable[StepBatchNorm2d | SampleDropout], step: int, has_events: bool = True) -> None:
    """Tell the parts that `lay_out` gave which time step comes next, and whether it is one of the event stream's."""
    for part in timed:
        part.first_step = step
        if isinstance(part, StepBatchNorm2d):
            part.has_events = has_events


def _lay_out_node(name: str, node: Any, all_steps: bool, steps: int) -> None:
    if isinstance(node, MultiStep):
        node.steps = steps
    if node.groups != 1:
        raise RecipeError(f"node '{name}': groups (BrainCog's n_groups) must be 1 here, not {node.groups}")
    if node.layer_by_layer != all_steps or isinstance(node, MultiStep) != all_steps:
        execution = "multi_step" if all_steps else "step"
        raise RecipeError(
            f"node '{name}' is a {type(node).__name__} with layer_by_layer={node.layer_by_layer}, which does not fit"
            f" execution {execution}: make it with the network's make_node(), and leave layer_by_layer as it is"
        )


def check_numbers(name: str, width: float, img_size: Any, **whole: Any) -> None:
    """Refuse sizes that no network can have: whole numbers below 1, a width or a side that is not above 0."""
    sides = (img_size,) * 2 if isinstance(img_size, Integral) else img_size
    if not isinstance(sides, tuple | list) or len(sides) != 2:
        raise RecipeError(f"{name}: img_size must be one whole number or two, not {img_size!r}")
    check_whole(name, **whole)
    for side in sides:
        check_whole(name, img_size=side)
    if not width > 0:
        raise RecipeError(f"{name}: width must be above 0, not {width!r}")


def check_whole(name: str, **numbers: Any) -> None:
    """Refuse what is not a whole number from 1 on."""
    for key, value in numbers.items():
        if not isinstance(value, Integral) or value < 1:
            raise RecipeError(f"{name}: {key} must be a whole number from 1 on, not {value!r}")


def check_execution(network: Any, norm: Any) -> None:
    """Refuse an unknown execution or initialisation, too small frames, and a norm that the network cannot take."""
    name = type(network).__name__
    if min(network.frame_size) < network.least_size:
        least, size = f"{network.least_size}x{network.least_size}", "x".join(map(str, network.frame_size))
        raise RecipeError(
            f"{name} needs frames of {least} or larger, not {size}: set data.size={network.least_size} or more"
        )
    if network.weight_init not in INITS:
        raise RecipeError(f"weight_init must be one of {', '.join(INITS)}, not '{network.weight_init}'")
    if network.execution not in EXECUTIONS:
        raise RecipeError(f"execution must be one of {', '.join(EXECUTIONS)}, not '{network.execution}'")
    if network.only_norm is not None and norm != network.only_norm:
        raise RecipeError(f"{name} has no place for norm '{norm}': it takes '{network.only_norm}' only")
    if getattr(network._norm, "shared", False) and network.execution != "multi_step":
        raise RecipeError(
            f"norm '{norm}' normalises over all steps together, so execution must be multi_step, not"
            f" '{network.execution}'; the norms step, step_own and none have both"
        )


def check_layers(network: Any) -> None:
    """Refuse layers that need all time steps at once in a `SpikingNetwork` that runs one at a time."""
    for name, part in network.named_modules():
        if isinstance(part, AllSteps) and network.execution != "multi_step":
            raise _sees_all_steps(name, part)


def _sees_all_steps(name: str, part: AllSteps) -> RecipeError:
    return RecipeError(
        f"'{name}' ({type(part).__name__}) looks at all time steps together, so execution must be multi_step, not"
        " 'step'"
    )


def check_attention(network: Any, attention: Any) -> None:
    """Refuse an attention that a `SpikingNetwork` has put nowhere."""
    if attention != "none" and not network.attention_places:
        raise RecipeError(
            f"{type(network).__name__} has no place for attention '{attention}': leave out model.attention, or give a"
            " plan with an A"
        )


def check_encoding(name: str) -> None:
    """Refuse a name that BrainCog's encoder does not know."""
    if name not in ENCODINGS:
        raise RecipeError(f"unknown encode_type '{name}': {did_you_mean(name, ENCODINGS)}")


def check_inputs(inputs: Tensor, encoding: str) -> None:
    """Refuse what is neither events `[B, T, C, H, W]` nor images `[B, C, H, W]`, and images that cannot be encoded."""
    if inputs.dim() not in (4, 5):
        raise RecipeError(f"events are [B, T, C, H, W] and images [B, C, H, W], but these are {[*inputs.shape]}")
    if inputs.dim() == 4 and encoding in BROKEN_ENCODINGS:
        raise RecipeError(f"BrainCog's encoder cannot encode images with '{encoding}': take 'direct'")


def check_frames(network: Any, frames: Tensor, steps: int) -> None:
    """Refuse frames `[N, C, H, W]`, of some steps, that a `SpikingNetwork` was not built for."""
    if steps != network.step:
        raise RecipeError(f"the network runs for {network.step} time steps, the frames have {steps}: give it as many")
    channels, *size = frames.shape[1:]
    wanted = getattr(network.stem, "in_channels", channels)
    if channels != wanted:
        raise RecipeError(
            f"the network takes frames of {wanted} channels, but these have {channels}: build it with"
            f" in_chans={channels}"
        )
    if not network.any_size and tuple(size) != network.frame_size:
        built, given = ("x".join(map(str, each)) for each in (network.frame_size, size))
        raise RecipeError(
            f"the network was built for frames of {built}, but these have {given}: build it with this img_size"
        )


def frames_alone(network: Any, events: Tensor, step: int) -> Tensor:
    """The frames `[B, C, H, W]` of one time step of events `[B, T, C, H, W]`, for a network that runs it alone."""
    if network.execution != "step":
        raise RecipeError(
            "a network whose execution is multi_step cannot run a time step alone: build it with execution='step'"
        )
    if events.dim() != 5 or step not in (0, network.next_step):
        raise RecipeError(
            f"time step {step} of events {[*events.shape]} cannot run now: events are [B, T, C, H, W], and the next"
            f" step is {network.next_step} of {network.step}, or 0 to begin anew"
        )
    check_switches(network)
    count = events.shape[1]
    frames = events[:, 0 if count == 1 else step]
    check_frames(network, frames, network.step if count == 1 else count)
    return frames


def check_switches(network: Any) -> None:
    """Refuse switches of BrainCog's that were turned on a finished `SpikingNetwork`."""
    switches = {
        "layer_by_layer": network.layer_by_layer,
        "warm_up": network.warm_up,
    }
    if isinstance(network.encoder, Encoder):
        encoder = network.encoder
        switches["encoder.layer_by_layer"] = encoder.layer_by_layer
        switches["encoder.temporal_flatten"] = encoder.temporal_flatten
        switches["encoder.no_encode"] = encoder.no_encode
        switches["encoder.groups"] = encoder.groups != 1
    for name, value in switches.items():
        if value:
            raise RecipeError(f"{name} cannot be turned on in a finished network: give it when the network is built")


class Released:
    """Stands in a node for a tensor that was not kept; whoever uses it is told how to keep it.

    Example:
        >>> node_mem = Released("mem", "set_requires_mem(True)")
        >>> node_mem.mean()
        Traceback (most recent call last):
        ...
        braincog_tmkt.errors.RecipeError: a node's mem is not kept after a forward pass: call set_requires_mem(True) ...
    """

    def __init__(self, name: str, how: str) -> None:
        self._words = (
            f"a node's {name} is not kept after a forward pass: call {how} before it, or n_reset() to begin anew"
        )

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RecipeError(self._words)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        parts = [part for each in args for part in (each if isinstance(each, list | tuple) else [each])]
        next(part for part in (*parts, MEM) if isinstance(part, cls))._refuse()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copy and pickle look for
            raise AttributeError(name)
        self._refuse()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __pow__ = __neg__ = __abs__ = __matmul__ = __array__ = __eq__ = __ne__ = __setitem__ = _refuse
    __hash__ = object.__hash__
    __getitem__ = __iter__ = __len__ = __float__ = __bool__ = __lt__ = __gt__ = __le__ = __ge__ = _refuse


MEM = Released("mem", "set_requires_mem(True)")
SPIKE = Released("spike", "set_requires_fp(True)")


def release(node: Any, as_it_is: bool = False) -> None:
    """Drop what a node remembers of a forward pass, so that it keeps no graph alive, except what it was asked to keep.

    Args:
        node: any node of BrainCog's kind.
        as_it_is: leave the memory layout. Otherwise traces become contiguous, since scripts take views of them, and in
            `multi_step` they are channels-last.
    """
    if isinstance(node, MultiStep):
        node.steps = 0
    if not node.requires_fp:
        node.spike, node.feature_map = SPIKE, []
    if not node.requires_mem:
        node.mem, node.mem_collect = MEM, []
    if not as_it_is:
        node.feature_map = [trace.contiguous() for trace in node.feature_map]
        node.mem_collect = [trace.contiguous() for trace in node.mem_collect]


def release_masks(network: nn.Module) -> None:
    """Drop the masks of dropouts that were kept from step to step."""
    for part in network.modules():
        if isinstance(part, SampleDropout):
            part.mask = None
