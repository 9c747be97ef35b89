"""What all two-stream spiking networks share: one encoder, one classifier a stream, two executions.

`step` runs BrainCog's modules one time step at a time, stream after stream, as the baseline does. `multi_step` hands
every layer all steps of both streams at once and gives the same numbers: convolutions do not care, the batch norm keeps
its statistics per (stream, step), and the nodes walk through the steps themselves. The first convolution sees a frame
once, however many steps and streams show it. Only the order of additions differs (deviation D-26).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..bridge import BaseModule, BaseNode, node_class, surrogate_class
from ..errors import RecipeError
from .nodes import multi_step_node
from .norm import StepBatchNorm2d, use_step_batch_norm
from .recompute import recomputed
from .spikes import use_spike_layers

EXECUTIONS = ("multi_step", "step")
UNSUPPORTED = {"temporal_flatten": False, "n_groups": 1, "spike_output": False, "n_preact": False}
"""BrainCog keywords whose other values would make another network than the papers'."""


class StreamOutput(NamedTuple):
    """What one stream gives.

    Args:
        logits: per-step logits `[T, B, K]`.
        features: the encoder's output as the classifier sees it `[T, B, D]` (F_t in the paper; deviation D-08).
        aligned: what CKA aligns `[T, B, ...]`: membranes after reset (ResNet-18: the pooled vector); deviation D-09.
    """

    logits: Tensor
    features: Tensor
    aligned: Tensor


class Blueprint(NamedTuple):
    """What the constructors of BrainCog's networks get.

    Args:
        step: T.
        encode_type: BrainCog's encoder.
        num_classes: K.
        node: class of the nodes.
        node_kwargs: their keywords.
        width: factor on all channel numbers.
        in_chans: channels of a frame.
    """

    step: int
    encode_type: str
    num_classes: int
    node: type[BaseNode]
    node_kwargs: dict[str, Any]
    width: float
    in_chans: int


class TwoStream(BaseModule):
    """Base class of the backbones.

    A subclass builds its layers, then calls `finish()`, and says how a flat batch is encoded, classified and aligned.

    Args:
        num_classes: K.
        step: T, BrainCog's name for the number of time steps.
        node_type: BrainCog node, by name or class.
        act_fun: BrainCog surrogate gradient, by name or class.
        threshold: firing threshold.
        tau: membrane time constant of leaky nodes, in steps.
        width: factor on all channel numbers.
        img_size: height and width of the frames.
        in_chans: channels of a frame, timm's keyword: 2 for events, 3 for colours.
        execution: `multi_step` or `step`; the numbers are the same.
        recompute: in `multi_step`, keep the inputs of layers only and compute the rest again in the backward pass.
        encode_type: BrainCog's encoder for static images given without a time axis.
        tet_loss: BrainCog's keyword: `forward` returns per-step logits instead of their mean.
        kwargs: further keywords; those that nodes know (`sigmoid_thres`, `mem_detach`, `levels`, ...) reach them.

    Raises:
        RecipeError: for an unknown node, surrogate or execution, frames that are too small, or a BrainCog keyword these
            networks do not have.
    """

    feature_size: int
    """D, the length of F_t."""

    least_size: ClassVar[int] = 1
    """Height and width of the smallest frames that its poolings leave anything of."""

    def __init__(
        self,
        num_classes: int = 10,
        step: int = 10,
        node_type: str | type = "LIFNode",
        act_fun: str | type = "QGateGrad",
        threshold: float = 0.5,
        tau: float = 2.0,
        width: float = 1.0,
        img_size: int = 48,
        in_chans: int = 2,
        execution: str = "multi_step",
        recompute: bool = False,
        encode_type: str = "direct",
        tet_loss: bool = False,
        **kwargs: Any,
    ) -> None:
        for key, only in UNSUPPORTED.items():
            if kwargs.get(key, only) != only:
                raise RecipeError(f"{type(self).__name__} takes {key}={only} only, not {kwargs[key]}")
        if img_size < self.least_size:
            raise RecipeError(
                f"{type(self).__name__} needs frames of {self.least_size}x{self.least_size} or larger, not"
                f" {img_size}x{img_size}: set data.size={self.least_size} or more"
            )
        if execution not in EXECUTIONS:
            raise RecipeError(f"execution must be one of {', '.join(EXECUTIONS)}, not '{execution}'")
        node_kwargs = {
            **kwargs,
            "step": step,
            "threshold": threshold,
            "tau": tau,
            "act_fun": surrogate_class(act_fun),
            "layer_by_layer": execution == "multi_step",
        }
        if in_chans not in (2, 3):
            raise RecipeError(
                f"{type(self).__name__} takes frames of 2 channels (events) or 3 (colours), not {in_chans}"
            )
        node = node_class(node_type)
        node = multi_step_node(node) if execution == "multi_step" else node
        self._construct(Blueprint(step, encode_type, num_classes, node, node_kwargs, width, in_chans))
        self.node_kwargs, self.in_chans = node_kwargs, in_chans
        self.num_classes, self.width, self.img_size = num_classes, width, img_size
        self.execution, self.recompute, self.tet_loss = execution, recompute, tet_loss

    def _construct(self, plan: Blueprint) -> None:
        """Run BrainCog's constructor; overridden where BrainCog's network has a richer one."""
        BaseModule.__init__(self, plan.step, plan.encode_type)
        self.make_node: Callable[[], BaseNode] = lambda: plan.node(**plan.node_kwargs)

    def finish(self, aligned_node: BaseNode | None) -> None:
        """Called once the layers exist: step weights, per-step batch norm, node settings."""
        self.coefficient = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in range(self.step)])
        use_step_batch_norm(self)
        if self.execution == "multi_step":
            use_spike_layers(self)
        self.norms = tuple(layer for layer in self.modules() if isinstance(layer, StepBatchNorm2d))
        self.nodes = tuple(layer for layer in self.modules() if isinstance(layer, BaseNode))
        for node in self.nodes:  # BrainCog's ResNet does not tell its nodes the number of steps
            node.step = self.step
        self.aligned_node = (aligned_node,)  # in a tuple: not a child, so no second name in the state dict

    def set_steps(self, steps: int) -> None:
        """Run with another number of time steps from now on, as BrainCog's networks cannot.

        The learnt step weights stay as many as the network was built with; only transfer uses them.

        Raises:
            RecipeError: for less than one step.
        """
        if steps < 1:
            raise RecipeError(f"a network runs for 1 time step or more, not {steps}")
        self.step = self.encoder.step = steps
        for node in self.nodes:
            node.step = steps

    @property
    @abstractmethod
    def stem(self) -> nn.Conv2d:
        """The first convolution, which gets the frames."""

    @abstractmethod
    def encode_rest(self, currents: Tensor) -> Tensor:
        """The stem's output `[N, C, H, W]` -> F `[N, D]`; in `multi_step` all steps of all streams, N = T*S*B."""

    def encode(self, x: Tensor) -> Tensor:
        """Frames `[N, 2, H, W]` of one step of one stream -> F `[N, D]`, for `step`.

        To be overridden if `encode_rest` asks more of the nodes than BrainCog's can do, such as the normalisation.
        """
        return self.encode_rest(self.stem(x))

    @abstractmethod
    def classifier(self, stream: str) -> nn.Module:
        """The classifier of stream `mixed` or `events`: `[N, D]` -> `[N, K]`."""

    @property
    def step_weights(self) -> Tensor:
        """theta of the paper's Eq. 12, `[T]`; before the sigmoid."""
        return torch.cat(list(self.coefficient))

    def forward(self, inputs: Tensor) -> Tensor:
        """BrainCog's contract: events `[B, T, 2, H, W]` (or images `[B, 2, H, W]`, encoded) through the event head.

        Returns:
            Mean logits `[B, K]`; per-step logits `[T, B, K]` with `tet_loss=True`.
        """
        logits = self.event_logits(inputs)
        return logits if self.tet_loss else logits.mean(0)

    def event_logits(self, events: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]` of the event head, for events `[B, T, 2, H, W]`.

        One frame `[B, 1, C, H, W]` is shown at all steps (direct encoding), and passes the first convolution once.
        """
        self._collect_membranes(False)
        if events.dim() == 5 and events.shape[1] == 1 < self.step:
            shown = torch.arange(len(events), device=events.device).repeat(self.step)
            return self._run(("events",), events[:, 0], self.step, shown)[0].logits
        frames = self.encoder(events)
        return self._run(("events",), frames.flatten(0, 1), len(frames))[0].logits

    def streams(
        self, mixed: Tensor, events: Tensor, appearance: Tensor | None = None
    ) -> tuple[StreamOutput, StreamOutput]:
        """Both streams through the shared encoder, the mixed one first (it moves the running statistics first).

        Args:
            mixed: `[B, T, 2, H, W]`; or images `[B, 2, H, W]`, encoded.
            events: `[B, T, 2, H, W]`.
            appearance: bool `[B, T]`; the mixed stream then shows the images `mixed` where it is true, and the frames
                of `events` elsewhere. Frames that come more than once pass the first convolution once.
        """
        self._collect_membranes(True)
        names = ("mixed", "events")
        if appearance is None:
            frames = torch.stack([self.encoder(mixed), self.encoder(events)], dim=1)  # [T, S, B, 2, H, W]
            mixed_out, events_out = self._run(names, frames.flatten(0, 2), len(frames))
            return mixed_out, events_out
        batch, steps = appearance.shape
        if events.shape[:2] != appearance.shape or len(mixed) != batch:
            raise RecipeError(
                f"static, events and appearance do not belong together: {[*mixed.shape]}, {[*events.shape]},"
                f" {[*appearance.shape]} ([B, 2, H, W], [B, T, 2, H, W], [B, T])"
            )
        frames = torch.cat([mixed, events.flatten(0, 1)])
        own = torch.arange(batch, batch * (steps + 1), device=appearance.device).view(batch, steps)
        rows = torch.stack([torch.where(appearance, torch.arange(batch, device=own.device)[:, None], own), own])
        mixed_out, events_out = self._run(names, frames, steps, rows.permute(2, 0, 1).flatten())
        return mixed_out, events_out

    def _run(
        self, names: tuple[str, ...], frames: Tensor, steps: int, rows: Tensor | None = None
    ) -> list[StreamOutput]:
        """Run named streams in the chosen execution; leaves no graph in the nodes.

        Args:
            names: of the S streams.
            frames: `[U, 2, H, W]`; without `rows`, U = T*S*B.
            steps: T of the frames.
            rows: which frame is shown, `[T*S*B]`.
        """
        if steps != self.step:
            raise RecipeError(f"the network runs for {self.step} time steps, the frames have {steps}")
        run = self._run_multi_step if self.execution == "multi_step" else self._run_step
        outputs = run(names, frames, rows)
        self._release()
        return outputs

    def _run_step(self, names: tuple[str, ...], frames: Tensor, rows: Tensor | None) -> list[StreamOutput]:
        shown = frames if rows is None else frames.index_select(0, rows)
        streams = shown.unflatten(0, (self.step, len(names), -1)).unbind(1)
        self._set_layout(1, 1)
        outputs = []
        for name, stream in zip(names, streams, strict=True):
            self.reset()
            features = torch.stack([self.encode(frame) for frame in stream])
            outputs.append(self._output(name, features, self._aligned(features)))
        return outputs

    def _run_multi_step(self, names: tuple[str, ...], frames: Tensor, rows: Tensor | None) -> list[StreamOutput]:
        self._set_layout(self.step, len(names))
        self.reset()
        currents = self.stem(frames.contiguous(memory_format=torch.channels_last))
        features = self.encode_rest(currents if rows is None else _shown(currents, rows))
        features = features.unflatten(0, (self.step, len(names), -1))
        aligned = self._aligned(features.flatten(1, 2)).unflatten(1, (len(names), -1))
        return [self._output(name, features[:, i], aligned[:, i]) for i, name in enumerate(names)]

    def run_layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Run a part of the encoder; with `recompute`, keep its input only."""
        return recomputed(layer, x) if self.recompute else layer(x)

    def _aligned(self, features: Tensor) -> Tensor:
        """What CKA aligns, `[T, N, ...]`, for features `[T, N, D]`."""
        (node,) = self.aligned_node
        return torch.stack(node.mem_collect) if node is not None and node.requires_mem else features

    def _collect_membranes(self, wanted: bool) -> None:
        """Have the aligned node keep its membranes after reset, step by step; one stream alone needs none."""
        (node,) = self.aligned_node
        if node is not None:
            node.requires_mem = wanted

    def _output(self, name: str, features: Tensor, aligned: Tensor) -> StreamOutput:
        return StreamOutput(self.classifier(name)(features).float(), features, aligned)

    def _set_layout(self, steps: int, streams: int) -> None:
        for norm in self.norms:
            norm.steps, norm.streams = steps, streams

    def _release(self) -> None:
        """Drop all state, so that no node keeps a graph alive; traces asked for with `requires_fp` stay."""
        for node in self.nodes:
            trace = node.feature_map
            node.n_reset()
            node.feature_map = trace


def _shown(currents: Tensor, rows: Tensor) -> Tensor:
    """Rows of `[U, C, H, W]`, in channels-last memory as the input."""
    pixels = currents.permute(0, 2, 3, 1)
    return pixels.flatten(1).index_select(0, rows).unflatten(1, pixels.shape[1:]).permute(0, 3, 1, 2)
