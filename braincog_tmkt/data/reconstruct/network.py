"""The two reconstruction networks, E2VID's recurrent U-Net and FireNet, with the parameter names of their checkpoints.

A network takes voxels `[N, B, H, W]` and its state, None at first, and gives images `[N, 1, H, W]` and the new state.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

State = list[Any] | None
"""What recurrent blocks remember, in order; None before the first window."""


class _Layer(nn.Module):
    """Convolution, then a norm if there is one, then an activation if there is one.

    `kind` is conv, or one that doubles the size: up (bilinear, then conv) or transposed.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        kind: str = "conv",
        stride: int = 1,
        norm: str | None = None,
        activation: Callable[[Tensor], Tensor] | None = torch.relu,
    ) -> None:
        super().__init__()
        self.kind, self.activation = kind, activation
        how: dict[str, Any] = {"padding": kernel // 2, "bias": norm != "BN"}
        if kind == "transposed":
            self.transposed_conv2d = nn.ConvTranspose2d(channels, out, kernel, stride=2, output_padding=1, **how)
        else:
            self.conv2d = nn.Conv2d(channels, out, kernel, stride=stride, **how)
        self.norm_layer = _norm(norm, out, tracked=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "up":
            x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = self.norm_layer((self.transposed_conv2d if self.kind == "transposed" else self.conv2d)(x))
        return x if self.activation is None else self.activation(x)


def _norm(name: str | None, channels: int, tracked: bool) -> nn.Module:
    """Batch norm, instance norm (with the running statistics that checkpoints have, if `tracked`), or nothing."""
    if name == "BN":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, track_running_stats=tracked) if name == "IN" else nn.Identity()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; the activation after the sum."""

    def __init__(self, channels: int, norm: str | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=norm != "BN")
        self.bn1 = _norm(norm, channels, tracked=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=norm != "BN")
        self.bn2 = _norm(norm, channels, tracked=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class ConvLSTM(nn.Module):
    """Gates of one 3x3 convolution over input and hidden state, in the order in, remember, out, cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Gates = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Input `[N, C, H, W]` and (hidden, cell) to the new hidden state and both."""
        hidden, cell = state or (torch.zeros_like(x), torch.zeros_like(x))
        take, remember, out, new = self.Gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        cell = remember.sigmoid() * cell + take.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        return hidden, (hidden, cell)


class ConvGRU(nn.Module):
    """Gates of 3x3 convolutions over input and state; new = state (1 - update) + candidate update."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reset_gate = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.update_gate = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.out_gate = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Input `[N, C, H, W]` and state to the new state, twice: it is the output, too."""
        state = torch.zeros_like(x) if state is None else state
        both = torch.cat([x, state], 1)
        update, reset = self.update_gate(both).sigmoid(), self.reset_gate(both).sigmoid()
        candidate = self.out_gate(torch.cat([x, state * reset], 1)).tanh()
        state = state * (1 - update) + candidate * update
        return state, state


RECURRENT: dict[str, type[nn.Module]] = {"convlstm": ConvLSTM, "convgru": ConvGRU}


class _RecurrentLayer(nn.Module):
    """A layer (`conv`), and a recurrent block on its output."""

    def __init__(self, conv: nn.Module, channels: int, recurrent: str) -> None:
        super().__init__()
        self.conv = conv
        self.recurrent_block = RECURRENT[recurrent](channels)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, state = self.recurrent_block(self.conv(x), state)
        return hidden, state


class _UNet(nn.Module):
    def __init__(
        self,
        bins: int,
        base: int,
        encoders: int,
        residual: int,
        skip: str,
        recurrent: str,
        norm: str | None,
        up: str,
    ) -> None:
        super().__init__()
        self.skip, wide = skip, 2 if skip == "concat" else 1
        sizes = [base * 2**level for level in range(encoders + 1)]
        self.head = _Layer(bins, base, 5)
        self.encoders = nn.ModuleList(
            _RecurrentLayer(_Layer(low, high, 5, stride=2, norm=norm), high, recurrent) for low, high in pairwise(sizes)
        )
        self.resblocks = nn.ModuleList(ResidualBlock(sizes[-1], norm) for _ in range(residual))
        self.decoders = nn.ModuleList(
            _Layer(wide * high, low, 5, up, norm=norm) for low, high in zip(sizes[-2::-1], sizes[:0:-1], strict=True)
        )
        self.pred = _Layer(wide * base, 1, 1, norm=norm, activation=None)

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([x, skip], 1) if self.skip == "concat" else x + skip

    def forward(self, x: Tensor, states: State) -> tuple[Tensor, State]:
        x = self.head(x)
        skips, new = [x], []
        for encoder, state in zip(self.encoders, states or [None] * len(self.encoders), strict=True):
            x, state = encoder(x, state)
            skips.append(x)
            new.append(state)
        for block in self.resblocks:
            x = block(x)
        for decoder in self.decoders:
            x = decoder(self.join(x, skips.pop()))
        return torch.sigmoid(self.pred(self.join(x, skips.pop()))), new


class Network(nn.Module):
    """What the two networks have in common."""

    num_bins: int
    """B, time bins of a voxel grid."""
    multiple: int
    """H and W of a voxel grid must be multiples of it."""
    trained_on: Any = None
    """What its file says about the recordings that it was trained on, see `weights.require_unseen`."""


class E2VIDRecurrent(Network):
    """E2VID's U-Net: 5x5 head, encoders (stride 2, recurrent), residual blocks, decoders with skips, 1x1, sigmoid.

    The norm follows every convolution but the head's and the gates', also the last, before the sigmoid. The hidden
    state of an encoder is its output and its skip.

    Args:
        num_bins: B, time bins of a voxel grid.
        skip_type: `sum` or `concat`.
        num_encoders: levels; H and W must be multiples of 2 to this power.
        base_num_channels: of the head; each encoder doubles them.
        num_residual_blocks: between encoders and decoders.
        norm: `BN`, `IN`, or None (`none`).
        use_upsample_conv: bilinear upsampling and a convolution; otherwise a transposed convolution.
        recurrent_block_type: `convlstm` or `convgru`.
    """

    def __init__(
        self,
        num_bins: int,
        skip_type: str = "sum",
        num_encoders: int = 4,
        base_num_channels: int = 32,
        num_residual_blocks: int = 2,
        norm: str | None = None,
        use_upsample_conv: bool = True,
        recurrent_block_type: str = "convlstm",
    ) -> None:
        super().__init__()
        self.num_bins, self.multiple = num_bins, 2**num_encoders
        self.unetrecurrent = _UNet(
            num_bins,
            base_num_channels,
            num_encoders,
            num_residual_blocks,
            skip_type,
            recurrent_block_type,
            norm,
            "up" if use_upsample_conv else "transposed",
        )

    def forward(self, voxels: Tensor, states: State = None) -> tuple[Tensor, State]:
        """Voxels `[N, B, H, W]` and the state of the window before to images `[N, 1, H, W]` in [0, 1] and the state."""
        images: Tensor
        images, states = self.unetrecurrent(voxels, states)
        return images, states


class _FireUNet(nn.Module):
    def __init__(self, bins: int, base: int, residual: int, recurrent: str, norm: str | None, after: list[int]) -> None:
        super().__init__()
        self.head = _RecurrentLayer(_Layer(bins, base, 3, norm=norm), base, recurrent)
        self.resblocks = nn.ModuleList(
            _RecurrentLayer(block, base, recurrent) if place in after else block
            for place, block in enumerate(ResidualBlock(base, norm) for _ in range(residual))
        )
        self.pred = _Layer(base, 1, 1, activation=None)


class FireNet(Network):
    """FireNet (Scheerlinck et al., WACV 2020): 3x3 head and residual blocks, recurrent, at full size; no sigmoid.

    Args:
        num_bins: B, time bins of a voxel grid.
        base_num_channels: of all layers.
        num_residual_blocks: behind the head.
        norm: `BN`, `IN`, or None (`none`).
        recurrent_block_type: `convlstm` or `convgru`.
        recurrent_blocks: `{"resblock": [0]}`: the residual blocks that a recurrent block follows.
    """

    multiple = 1

    def __init__(
        self,
        num_bins: int,
        base_num_channels: int = 16,
        num_residual_blocks: int = 2,
        norm: str | None = None,
        recurrent_block_type: str = "convgru",
        recurrent_blocks: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_bins = num_bins
        after = (recurrent_blocks or {"resblock": [0]}).get("resblock", [])
        self.net = _FireUNet(num_bins, base_num_channels, num_residual_blocks, recurrent_block_type, norm, after)

    def forward(self, voxels: Tensor, states: State = None) -> tuple[Tensor, State]:
        """Voxels `[N, B, H, W]` and the state of the window before to images `[N, 1, H, W]` and the state."""
        old = list(states or [])
        x, state = self.net.head(voxels, old.pop(0) if old else None)
        new = [state]
        for block in self.net.resblocks:
            if isinstance(block, _RecurrentLayer):
                x, state = block(x, old.pop(0) if old else None)
                new.append(state)
            else:
                x = block(x)
        return self.net.pred(x), new
