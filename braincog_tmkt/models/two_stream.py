"""Two streams through one encoder, each with a classifier of its own, and learnt weights of the steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..bridge import BaseNode
from ..errors import RecipeError
from .images import in_channels
from .network import SpikingNetwork


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


class TransferOutput(NamedTuple):
    """What one of the streams of images and of events gives, see `methods.r2etl`.

    Args:
        logits: per-step logits `[T, B, K]`.
        first: spikes or potentials of the stream's first node `[T, B, ...]`.
        last: those of its last node, or what the network aligns `[T, B, ...]`.
    """

    logits: Tensor
    first: Tensor
    last: Tensor


class TwoStream(SpikingNetwork):
    """Adds the mixed stream and the step weights to a `SpikingNetwork`: `class Mine(TwoStream, MyLayers)`.

    For the arguments see `SpikingNetwork`; `norm` is `step` by default, as in the baseline.
    """

    default_norm = "step"
    stream_names = ("mixed", "events")

    aligned: str = "pooled"
    """The tap that CKA aligns."""

    def build_heads(self) -> None:
        """Make the classifiers and the step weights."""
        super().build_heads()
        self.coefficient = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in range(self.step)])

    @property
    def step_weights(self) -> Tensor:
        """theta of the paper's Eq. 12, `[T]`; before the sigmoid. As many as the network was built with."""
        return torch.cat(list(self.coefficient))

    def streams(
        self, mixed: Tensor, events: Tensor, appearance: Tensor | None = None
    ) -> tuple[StreamOutput, StreamOutput]:
        """Both streams through the shared encoder, the mixed one first (it moves the running statistics first).

        Args:
            mixed: `[B, T, C, H, W]`; or images `[B, C, H, W]`, encoded.
            events: `[B, T, C, H, W]`.
            appearance: bool `[B, T]`; the mixed stream then shows the images `mixed` where it is true, and the frames
                of `events` elsewhere. Frames that come more than once pass the first convolution once.
        """
        names = self.stream_names
        with self.taps(self.aligned) as seen:
            if appearance is None:
                frames = torch.stack([self.encoded(mixed), self.encoded(events)], dim=1)  # [T, S, B, C, H, W]
                features = self._run(names, frames.flatten(0, 2), len(frames))
            else:
                features = self._run(names, *_shared_frames(mixed, events, appearance))
        aligned = seen[self.aligned].unflatten(1, (len(names), -1))
        one, other = (
            StreamOutput(self.classified(name, features[i]), features[i], aligned[:, i]) for i, name in enumerate(names)
        )
        self._release()
        return one, other

    def transfer_streams(
        self, static: Tensor, events: Tensor, first: str = "spikes", last: str = "potential"
    ) -> tuple[TransferOutput, TransferOutput]:
        """Images, in the place of the mixed stream, and events.

        Args:
            static: images `[B, C, H, W]`, shown at all steps; of colours, V = max(R, G, B) is shown.
            events: `[B, T, C, H, W]`.
            first: what is wanted of the first node, `spikes` or `potential` (before the reset).
            last: `spikes` is the classifier's input, `potential` what `streams` aligns.
        """
        tap = next(f"{first}:{name}" for name, part in self.named_modules() if isinstance(part, BaseNode))
        shown = torch.ones(events.shape[:2], dtype=torch.bool, device=events.device)
        with self.taps(tap) as seen:
            outputs = self.streams(in_channels(static, self.in_chans), events, shown)
        seen_first = seen[tap].unflatten(1, (2, -1)).unbind(1)
        one, other = (
            TransferOutput(out.logits, part, out.aligned if last == "potential" else out.features)
            for out, part in zip(outputs, seen_first, strict=True)
        )
        return one, other


def _shared_frames(mixed: Tensor, events: Tensor, appearance: Tensor) -> tuple[Tensor, int, Tensor]:
    """Images and event frames without repetitions, the number of steps, and which of them each stream shows."""
    batch, steps = appearance.shape
    if events.shape[:2] != appearance.shape or len(mixed) != batch:
        raise RecipeError(
            f"static, events and appearance have shapes that do not fit: {[*mixed.shape]}, {[*events.shape]},"
            f" {[*appearance.shape]} ([B, C, H, W], [B, T, C, H, W], [B, T])"
        )
    frames = torch.cat([mixed, events.flatten(0, 1)])
    own = torch.arange(batch, batch * (steps + 1), device=appearance.device).view(batch, steps)
    rows = torch.stack([torch.where(appearance, torch.arange(batch, device=own.device)[:, None], own), own])
    return frames, steps, rows.permute(2, 0, 1).flatten()
