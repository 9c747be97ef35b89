"""A spiking network with one head, from parts: layers, a node, a surrogate and a norm; in two executions.

`step` runs one time step at a time, as BrainCog does. `multi_step` hands every layer all steps at once and gives the
same numbers: convolutions do not care, the batch norm keeps its statistics per step (or takes all steps together, as
asked), and the nodes walk through the steps themselves. The first convolution sees a frame once, however many steps
show it. Only the order of additions differs (deviation D-26).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..bridge import BaseModule, BaseNode
from ..errors import RecipeError
from .multi_step import multi_step_node
from .norms.step import StepBatchNorm2d
from .parts import node_class, norm_class, surrogate_factory, taken
from .recompute import recomputed
from .spikes import SpikeConv2d, SpikePool2d
from .taps import Recorder

EXECUTIONS = ("multi_step", "step")
UNSUPPORTED = {"temporal_flatten": False, "n_groups": 1, "spike_output": False, "n_preact": False}
"""BrainCog keywords whose other values would make another network than the papers'."""


class SpikingNetwork(BaseModule):
    """Base class of the networks, with one head; a subclass builds the layers.

    Args:
        num_classes: K.
        step: T, BrainCog's name for the number of time steps.
        node_type: node: a name (ours or BrainCog's), a dotted path or a class.
        act_fun: surrogate gradient, likewise.
        threshold: firing threshold.
        tau: membrane time constant of leaky nodes, in steps.
        norm: normalisation, see `norms`: a name, a dotted path or a class; None is the network's own choice.
        width: factor on all channel numbers.
        img_size: height and width of the frames, one number or two.
        in_chans: channels of a frame, timm's keyword: 2 for events, 3 for colours.
        execution: `multi_step` or `step`; the numbers are the same.
        recompute: in `multi_step`, keep the inputs of layers only and compute the rest again in the backward pass.
        encode_type: BrainCog's encoder for static images given without a time axis.
        tet_loss: BrainCog's keyword: `forward` returns per-step logits instead of their mean.
        kwargs: keywords of the node, the surrogate and the norm (`mem_detach`, `alpha`, `momentum`, ...). Others are
            ignored, as BrainCog does; `build_backbone` refuses them.

    Raises:
        RecipeError: for an unknown node, surrogate, norm or execution, a norm that does not fit the execution, frames
            that are too small, or a BrainCog keyword these networks do not have.
    """

    feature_size: int
    """D, the length of the pooled vector."""

    least_size: ClassVar[int] = 1
    """Height and width of the smallest frames that its poolings leave anything of."""

    default_norm: ClassVar[str] = "shared"
    only_norm: ClassVar[str | None] = None
    """The one norm it can have, for a network without a place for others."""

    stream_names: ClassVar[tuple[str, ...]] = ("events",)

    def __init__(
        self,
        num_classes: int = 10,
        step: int = 10,
        node_type: str | type = "LIFNode",
        act_fun: str | type = "QGateGrad",
        threshold: float = 0.5,
        tau: float = 2.0,
        norm: str | type | None = None,
        width: float = 1.0,
        img_size: int | tuple[int, int] = 48,
        in_chans: int = 2,
        execution: str = "multi_step",
        recompute: bool = False,
        encode_type: str = "direct",
        tet_loss: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(step, encode_type)
        self.num_classes, self.width, self.in_chans = num_classes, width, in_chans
        self.img_size, self.frame_size = img_size, _sides(img_size)
        self.execution, self.recompute, self.tet_loss = execution, recompute, tet_loss
        self.node_kwargs = {
            **kwargs,
            "threshold": threshold,
            "tau": tau,
            "act_fun": surrogate_factory(act_fun, kwargs),
            "layer_by_layer": execution == "multi_step",
        }
        self._node, self._norm = node_class(node_type), norm_class(norm or self.default_norm)
        self._norm_kwargs = kwargs
        self._recorders: list[Recorder] = []
        self._check(norm or self.default_norm, kwargs)
        self.build()
        self.build_heads()

    def _check(self, norm: Any, kwargs: dict[str, Any]) -> None:
        name = type(self).__name__
        for key, only in UNSUPPORTED.items():
            if kwargs.get(key, only) != only:
                raise RecipeError(f"{name} takes {key}={only} only, not {kwargs[key]}")
        if min(self.frame_size) < self.least_size:
            least, size = f"{self.least_size}x{self.least_size}", "x".join(map(str, self.frame_size))
            raise RecipeError(
                f"{name} needs frames of {least} or larger, not {size}: set data.size={self.least_size} or more"
            )
        if self.execution not in EXECUTIONS:
            raise RecipeError(f"execution must be one of {', '.join(EXECUTIONS)}, not '{self.execution}'")
        if self.only_norm is not None and norm != self.only_norm:
            raise RecipeError(f"{name} has no place for norm '{norm}': it takes '{self.only_norm}' only")
        if getattr(self._norm, "shared", False) and self.execution != "multi_step":
            raise RecipeError(
                f"norm '{norm}' normalises over all steps together, so execution must be multi_step, not"
                f" '{self.execution}'; the norms step, step_own and none have both"
            )

    # The parts, for the constructors of layers.

    def channels(self, number: int) -> int:
        """A number of channels times `width`."""
        return max(1, round(number * self.width))

    def conv(self, channels: int, out: int, kernel: int, **kwargs: Any) -> nn.Conv2d:
        """A convolution without bias; in `multi_step` one that keeps spikes as bytes."""
        kind = SpikeConv2d if self.execution == "multi_step" else nn.Conv2d
        return kind(channels, out, kernel, bias=False, **kwargs)

    def pool(self, side: int) -> nn.AvgPool2d:
        """An average pooling of windows that do not overlap."""
        return (SpikePool2d if self.execution == "multi_step" else nn.AvgPool2d)(side)

    def make_node(self, kind: type[BaseNode] | None = None) -> BaseNode:
        """A node with the network's keywords.

        Args:
            kind: its class for one step at a time; None is the network's.
        """
        chosen: Any = kind or self._node
        given = taken(chosen, {**self.node_kwargs, "step": self.step})
        made: BaseNode = (multi_step_node(chosen) if self.execution == "multi_step" else chosen)(**given)
        return made

    def make_norm(self, channels: int, alpha: float = 1.0) -> nn.Module:
        """A norm with the network's keywords.

        Args:
            channels: C.
            alpha: factor on the initial weight, which tdBN has beside the threshold.
        """
        threshold = 1.0 if getattr(self._node, "fires_threshold", False) else self.node_kwargs["threshold"]
        hints = {"gain": alpha * threshold, "steps": self.step, "step": self.step}
        return self._norm(channels, **taken(self._norm, {**self._norm_kwargs, **hints}))

    # What a family of layers says.

    @abstractmethod
    def build(self) -> None:
        """Make the layers, and set `feature_size`."""

    def head(self) -> nn.Module:
        """A fresh linear classifier `[.., D]` -> `[.., K]`."""
        return nn.Linear(self.feature_size, self.num_classes)

    def build_heads(self) -> None:
        """Make the classifier of each stream.

        Two are drawn whether there are one or two streams, so that a seed gives both the same weights.
        """
        mixed = self.head()
        if "mixed" in self.stream_names:
            self.rgb_fc = mixed
        self.dvs_fc = self.head()

    @property
    @abstractmethod
    def stem(self) -> nn.Conv2d:
        """The first convolution, which gets the frames."""

    @abstractmethod
    def encode(self, currents: Tensor) -> Tensor:
        """The stem's output `[N, C, H, W]` -> F `[N, D]`; in `multi_step` all steps of all streams, N = T*S*B."""

    def classifier(self, stream: str) -> nn.Module:
        """The classifier of stream `mixed` or `events`: `[.., D]` -> `[.., K]`."""
        return self.rgb_fc if stream == "mixed" else self.dvs_fc

    # BrainCog's contract, and ours.

    @property
    def nodes(self) -> tuple[BaseNode, ...]:
        """All nodes."""
        return tuple(layer for layer in self.modules() if isinstance(layer, BaseNode))

    @property
    def norms(self) -> tuple[StepBatchNorm2d, ...]:
        """All batch norms of ours."""
        return tuple(layer for layer in self.modules() if isinstance(layer, StepBatchNorm2d))

    def set_steps(self, steps: int) -> None:
        """Run with another number of time steps from now on, as BrainCog's networks cannot.

        Raises:
            RecipeError: for less than one step.
        """
        if steps < 1:
            raise RecipeError(f"a network runs for 1 time step or more, not {steps}")
        self.step = self.encoder.step = steps
        for node in self.nodes:
            node.step = steps

    def forward(self, inputs: Tensor) -> Tensor:
        """BrainCog's contract: events `[B, T, C, H, W]` (or images `[B, C, H, W]`, encoded) through the event head.

        Returns:
            Mean logits `[B, K]`; per-step logits `[T, B, K]` with `tet_loss=True`.
        """
        logits = self.event_logits(inputs)
        return logits if self.tet_loss else logits.mean(0)

    def event_logits(self, events: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]` of the event head, for events `[B, T, C, H, W]`.

        One frame `[B, 1, C, H, W]` is shown at all steps (direct encoding), and passes the first convolution once.
        """
        if events.dim() == 5 and events.shape[1] == 1 < self.step:
            shown = torch.arange(len(events), device=events.device).repeat(self.step)
            features = self._run(("events",), events[:, 0], self.step, shown)
        else:
            frames = self.encoder(events)
            features = self._run(("events",), frames.flatten(0, 1), len(frames))
        logits: Tensor = self.classifier("events")(features[0]).float()
        return logits

    @contextmanager
    def taps(self, *names: str) -> Iterator[dict[str, Tensor]]:
        """Within it, every forward pass leaves what these taps see in the dictionary that it gives.

        Args:
            names: `membrane:NODE` (after the reset), `potential:NODE` (before it), `spikes:NODE`, for a node's name in
                the network; `pooled`, the classifier's input. A node whose potentials are asked for runs without its
                kernel.

        Returns:
            Tensors `[T, N, ...]`, part of the graph; N = B, or 2B if two streams ran, the mixed one first.

        Raises:
            RecipeError: for an unknown tap, with the nearest known one.

        Example:
            >>> import timm, braincog_tmkt
            >>> net = timm.create_model("tmkt_scnn", step=2, img_size=16, width=0.1)
            >>> with net.taps("membrane:node1", "pooled") as seen:
            ...     logits = net(torch.zeros(3, 2, 2, 16, 16))
            >>> seen["membrane:node1"].shape
            torch.Size([2, 3, 30])
        """
        recorder = Recorder(self, names)
        with recorder.listening():
            self._recorders.append(recorder)
            try:
                yield recorder.found
            finally:
                self._recorders.remove(recorder)

    # The executions.

    def _run(self, names: tuple[str, ...], frames: Tensor, steps: int, rows: Tensor | None = None) -> list[Tensor]:
        """Features `[T, B, D]` of named streams in the chosen execution; leaves no graph in the nodes.

        Args:
            names: of the S streams.
            frames: `[U, C, H, W]`; without `rows`, U = T*S*B.
            steps: T of the frames.
            rows: which frame is shown, `[T*S*B]`.
        """
        if steps != self.step:
            raise RecipeError(f"the network runs for {self.step} time steps, the frames have {steps}")
        for recorder in self._recorders:
            recorder.begin()
        run = self._run_multi_step if self.execution == "multi_step" else self._run_step
        features = run(names, frames, rows)
        for recorder in self._recorders:
            recorder.finish(steps, features)
        self._release()
        return features

    def _run_step(self, names: tuple[str, ...], frames: Tensor, rows: Tensor | None) -> list[Tensor]:
        shown = frames if rows is None else frames.index_select(0, rows)
        streams = shown.unflatten(0, (self.step, len(names), -1)).unbind(1)
        self._set_layout(1, 1)
        norms, features = self.norms, []
        for name, stream in zip(names, streams, strict=True):
            self.reset()
            parts = []
            for step, frame in enumerate(stream):
                for norm in norms:
                    norm.step, norm.has_events = step, name == "events"
                parts.append(self.encode(self.stem(frame)))
            features.append(torch.stack(parts))
        return features

    def _run_multi_step(self, names: tuple[str, ...], frames: Tensor, rows: Tensor | None) -> list[Tensor]:
        self._set_layout(self.step, len(names))
        self.reset()
        currents = self.stem(frames.contiguous(memory_format=torch.channels_last))
        features = self.encode(currents if rows is None else _shown(currents, rows))
        return list(features.unflatten(0, (self.step, len(names), -1)).unbind(1))

    def run_layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Run a part of the encoder; with `recompute`, keep its input only."""
        return recomputed(layer, x) if self.recompute and self.execution == "multi_step" else layer(x)

    def _set_layout(self, steps: int, streams: int) -> None:
        """Tell the norms how their inputs are made up: all steps of all streams, the event stream last."""
        for norm in self.norms:
            norm.steps, norm.streams, norm.step, norm.has_events = steps, streams, 0, True

    def _release(self) -> None:
        """Drop all state, so that no node keeps a graph alive; traces asked for with `requires_fp` stay."""
        for node in self.nodes:
            trace = node.feature_map
            node.n_reset()
            node.feature_map = trace


def _sides(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _shown(currents: Tensor, rows: Tensor) -> Tensor:
    """Rows of `[U, C, H, W]`, in channels-last memory as the input."""
    pixels = currents.permute(0, 2, 3, 1)
    return pixels.flatten(1).index_select(0, rows).unflatten(1, pixels.shape[1:]).permute(0, 3, 1, 2)
