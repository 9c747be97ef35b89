"""A spiking network with one head, from parts: layers, a node, a surrogate and a norm; in two executions.

`step` runs one time step at a time, as BrainCog does. `multi_step` hands every layer all steps at once and gives the
same numbers: convolutions do not care, the batch norm keeps its statistics per step (or takes all steps together, as
asked), and the nodes walk through the steps themselves. The first convolution sees a frame once, however many steps
show it. Only the order of additions differs (deviation D-26).
"""

from __future__ import annotations

import inspect
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..bridge import BaseNode
from ..errors import RecipeError
from . import contract
from .factory import PartFactory
from .hooks import divisible
from .norms.step import StepBatchNorm2d
from .parts import attention_class, node_class, norm_class, surrogate_class, surrogate_factory
from .recompute import recomputed
from .spikes import shown_rows
from .taps import Recorder


class SpikingNetwork(PartFactory):
    """Base class of the networks, with one head; a subclass builds the layers.

    Args:
        num_classes: K; 0 for a network without classifiers, whose output is the mean of its features `[B, D]`.
        step: T, BrainCog's name for the number of time steps.
        node_type: node: a name (ours or BrainCog's), a dotted path or a class.
        act_fun: surrogate gradient, likewise.
        threshold: firing threshold.
        tau: membrane time constant of leaky nodes, in steps.
        norm: normalisation, see `norms`: a name, a dotted path or a class; None is the network's own choice, or what
            `layer_by_layer` says.
        attention: factors on the outputs of nodes, see `attention`, likewise; None is the network's own choice. They
            act on what goes into the last two poolings; in ResNets on the outputs of the last two stages.
        conv_bias: whether convolutions have a bias.
        weight_init: of the convolutions, before a network's own: `pytorch`, or `kaiming` (normal, by outputs).
        width: factor on all channel numbers.
        img_size: height and width of the frames, one number or two.
        in_chans: channels of a frame, timm's keyword: 2 for events, 3 for colours; None: those of `dataset`, or 2.
        execution: `multi_step` or `step`; the numbers are the same.
        recompute: in `multi_step`, keep the inputs of layers only and compute the rest again in the backward pass.
        encode_type: BrainCog's encoder for static images given without a time axis.
        tet_loss: BrainCog's keyword: `forward` returns per-step logits instead of their mean.
        sum_output: BrainCog's keyword of ResNet-19; False is the same as `tet_loss=True`.
        dataset: BrainCog's keyword, from which the channels follow.
        layer_by_layer: BrainCog's keyword: batch norms take their statistics over all steps (True: norm `shared`) or
            over each step by itself (False: norm `step`).
        kwargs: keywords of the node, the surrogate, the norm and the attention (`mem_detach`, `alpha`, `momentum`), and
            further ones of BrainCog's, see `contract`. Unknown ones are ignored with a warning; `build_backbone`
            refuses them.

    Raises:
        RecipeError: for an unknown node, surrogate, norm, attention, execution, initialisation or encoding, a norm or
            an attention that does not fit the execution, a norm that does not fit `layer_by_layer`, frames that are too
            small, or a value of BrainCog's that makes another network.
    """

    feature_size: int
    """D, the length of the pooled vector."""

    any_size: bool = False
    """Whether frames of another size than `img_size` can pass."""

    least_size: int = 1
    """Height and width of the smallest frames that its poolings leave anything of."""

    default_norm: ClassVar[str] = "shared"
    only_norm: ClassVar[str | None] = None
    """The one norm it can have, for a network without a place for others."""

    default_attention: ClassVar[str] = "none"

    other_stem: ClassVar[tuple[str, ...]] = ()
    """Names of data sets for which BrainCog's own network has another first convolution."""

    stream_names: ClassVar[tuple[str, ...]] = ("events",)

    next_step: int = 0  # of `step_logits`

    def __init__(
        self,
        num_classes: int = 10,
        step: int = 10,
        node_type: str | type = "LIFNode",
        act_fun: str | type = "QGateGrad",
        threshold: float = 0.5,
        tau: float = 2.0,
        norm: str | type | None = None,
        attention: str | type | None = None,
        conv_bias: bool = False,
        weight_init: str = "pytorch",
        width: float = 1.0,
        img_size: int | tuple[int, int] = 48,
        in_chans: int | None = None,
        execution: str = "multi_step",
        recompute: bool = False,
        encode_type: str = "direct",
        tet_loss: bool = False,
        sum_output: bool = True,
        dataset: str | None = None,
        layer_by_layer: bool | None = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        contract.check_encoding(encode_type)
        channels = contract.channels_for(name, dataset, in_chans, self.other_stem)
        contract.check_numbers(name, width, img_size, step=step, num_classes=num_classes or 1, in_chans=channels)
        super().__init__(step, encode_type)
        self.num_classes, self.width, self.in_chans = num_classes, width, channels
        self.img_size, self.frame_size = img_size, _sides(img_size)
        self.conv_bias, self.weight_init = conv_bias, weight_init
        self.execution, self.recompute, self.tet_loss = execution, recompute, tet_loss or not sum_output
        self.node_kwargs = {
            **kwargs,
            "threshold": threshold,
            "tau": tau,
            "act_fun": surrogate_factory(act_fun, kwargs),
            "layer_by_layer": execution == "multi_step",
        }
        norm = contract.norm_for(name, norm, self.default_norm, layer_by_layer)
        self._node, self._norm = node_class(node_type), norm_class(norm)
        self._attention = attention_class(attention or self.default_attention)
        self.part_kwargs, self.attention_places = kwargs, 0
        self._recorders: list[Recorder] = []
        parts = self._node, surrogate_class(act_fun), self._norm, self._attention
        contract.check_keywords(name, kwargs, parts, inspect.signature(SpikingNetwork.__init__).parameters)
        contract.check_execution(self, norm)
        self.build()
        self.build_heads()
        contract.check_layers(self)
        contract.check_attention(self, attention or self.default_attention)

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
        mixed = self.make_head()
        if "mixed" in self.stream_names:
            self.rgb_fc = mixed
        self.dvs_fc = self.make_head()

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

    @property
    def bypassed(self) -> tuple[tuple[nn.Module, type[nn.Module]], ...]:
        """Containers of which `encode` calls the parts alone, and their classes.

        If one of them has a hook or another `forward`, `encode_whole` runs.
        """
        return ()

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> F `[N, D]`, as `encode` of the stem's output, by calling these containers."""
        return self.encode(self.stem(frames))

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

    def synchronise_norms(self, together: bool = True) -> None:
        """Let several processes take the statistics of batch norms over their global batch, or each over its own."""
        for norm in self.norms:
            norm.synchronised = together

    def set_attr(self, attr: str, val: Any) -> None:
        """BrainCog's: set an attribute of all nodes that have it.

        The attribute `step` of nodes decides nothing, in BrainCog's networks as in these: T stays as it is, with a
        warning. `set_steps` changes T.
        """
        super().set_attr(attr, val)
        if attr == "step":
            warnings.warn(
                "set_attr('step', ..) changes an attribute of the nodes and not the number of time steps, as in"
                " BrainCog's own networks: the accuracy stays the same; set_steps(..) changes it",
                stacklevel=2,
            )

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
            frames = self.encoded(events)
            features = self._run(("events",), frames.flatten(0, 1), len(frames))
        logits = self.classified("events", features[0])
        self._release()
        return logits

    def step_logits(self, events: Tensor, step: int) -> Tensor:
        """Logits `[B, K]` of the event head at one time step alone, in execution `step`.

        Steps run in order, from 0. In between nodes keep their state and dropouts their masks. Taps see nothing.

        Args:
            events: `[B, T, C, H, W]`; a single frame is shown at all steps.
            step: number of the time step.

        Raises:
            RecipeError: in execution `multi_step`, for events of another shape, or if the step before it has not run.
        """
        frames = contract.frames_alone(self, events, step)
        if step == 0:
            self.reset()
        contract.begin_step(contract.lay_out(self, all_steps=False, steps=1, streams=1), step)
        logits: Tensor = self.classifier("events")(self._encode_frames(frames)).float()
        self.next_step = step + 1
        if self.next_step == self.step:
            self._release()
        return logits

    def classified(self, stream: str, features: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]` of features `[T, B, D]`."""
        head = self.classifier(stream)
        if self.execution == "step":
            return torch.stack([head(part) for part in features]).float()
        logits: Tensor = head(features.flatten(0, 1)).float()
        return logits.unflatten(0, (len(features), -1))

    def encoded(self, inputs: Tensor) -> Tensor:
        """Frames `[T, B, C, H, W]` of events `[B, T, C, H, W]`, or of images `[B, C, H, W]` by BrainCog's encoder."""
        contract.check_inputs(inputs, getattr(self.encoder, "encode_type", ""))
        frames: Tensor = self.encoder(inputs)
        return frames

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
        """Features `[T, B, D]` of named streams in the chosen execution; `_release` must follow.

        Args:
            names: of the S streams.
            frames: `[U, C, H, W]`; without `rows`, U = T*S*B.
            steps: T of the frames.
            rows: which frame is shown, `[T*S*B]`.
        """
        contract.check_frames(self, frames, steps)
        run = self._run_multi_step if self.execution == "multi_step" else self._run_step
        return self.tapped_pass(steps, lambda: run(names, frames, rows))

    def tapped_pass(self, steps: int, run: Callable[[], list[Tensor]]) -> list[Tensor]:
        """The features `[T, B, D]` of each stream that `run` computes in so many steps, while taps watch."""
        contract.check_switches(self)
        for recorder in self._recorders:
            recorder.begin()
        features = run()
        for recorder in self._recorders:
            recorder.finish(steps, features)
        return features

    def _run_step(self, names: tuple[str, ...], frames: Tensor, rows: Tensor | None) -> list[Tensor]:
        shown = frames if rows is None else frames.index_select(0, rows)
        streams = shown.unflatten(0, (self.step, len(names), -1)).unbind(1)
        timed = contract.lay_out(self, all_steps=False, steps=1, streams=1)
        features = []
        for name, stream in zip(names, streams, strict=True):
            self.reset()
            parts = []
            for step, frame in enumerate(stream):
                contract.begin_step(timed, step, name == "events")
                parts.append(self._encode_frames(frame))
            features.append(torch.stack(parts))
        return features

    def _run_multi_step(self, names: tuple[str, ...], frames: Tensor, rows: Tensor | None) -> list[Tensor]:
        contract.lay_out(self, all_steps=True, steps=self.step, streams=len(names))
        self.reset()
        frames = frames.contiguous(memory_format=torch.channels_last)
        features = self._encode_frames(frames, rows)
        return list(features.unflatten(0, (self.step, len(names), -1)).unbind(1))

    def _encode_frames(self, frames: Tensor, rows: Tensor | None = None) -> Tensor:
        """F `[N, D]` of frames `[U, C, H, W]`, or of the rows of them that are shown."""
        if not all(divisible(part, kind) for part, kind in self.bypassed):
            return self.encode_whole(frames if rows is None else frames.index_select(0, rows))
        currents = self.stem(frames)
        return self.encode(currents if rows is None else shown_rows(currents, rows))

    def run_layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Run a part of the encoder; with `recompute`, keep its input only."""
        return recomputed(layer, x) if self.recompute and self.execution == "multi_step" else layer(x)

    def run_stage(self, stage: nn.Module, x: Tensor) -> Tensor:
        """Run a sequence of layers; with `recompute`, keep the input of each only."""
        if not (isinstance(stage, nn.Sequential) and divisible(stage)):
            return self.run_layer(stage, x)
        for layer in stage:
            x = self.run_layer(layer, x)
        return x

    def _release(self) -> None:
        """Drop the state of nodes, so that none keeps a graph alive; what they were asked to keep stays."""
        tapped = [node for recorder in self._recorders for node in recorder.nodes.values()]
        for node in self.nodes:
            contract.release(node, as_it_is=node in tapped)
        contract.release_masks(self)
        self.next_step = 0


def _sides(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)
