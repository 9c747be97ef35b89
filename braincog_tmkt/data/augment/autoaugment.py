"""AutoAugment (Cubuk et al. 2019) of still images, torchvision's."""

import torch
from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG
from .base import AUGMENTS, Augmentation

POLICIES = ("cifar10", "imagenet", "svhn")


@AUGMENTS.register("autoaugment", label="AutoAugment", paper="Cubuk et al., CVPR 2019", year=2019, arxiv="1805.09501")
class AutoAugment(Augmentation):
    """One of the policy's pairs of operations for each sample; torchvision's `AutoAugment`.

    It acts on colours in [0, 1] as 8 bits a channel, so only still images of three channels can have it.

    Args:
        policy: the data set whose policy it is: `cifar10`, `imagenet` or `svhn`.
        fill: what is put where an operation moves the image away, of 256 shades; torchvision's default is black, the
            codes of QCFS and Dspike have 128.
    """

    def __init__(self, policy: str = "cifar10", fill: int = 0) -> None:
        from torchvision.transforms import AutoAugment as OfTorchvision
        from torchvision.transforms import AutoAugmentPolicy

        if policy not in POLICIES:
            raise RecipeError(
                f"augmentation 'autoaugment': policy must be one of {', '.join(POLICIES)}, not '{policy}'"
            )
        if not 0 <= fill <= 255:
            raise RecipeError(f"augmentation 'autoaugment': fill must be from 0 to 255, not {fill}")
        self.operations = OfTorchvision(AutoAugmentPolicy(policy), fill=[float(fill)] * 3)

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """Each image by itself, on the CPU; torchvision draws from PyTorch's generator, which is seeded for each."""
        from torchvision.transforms.functional import pil_to_tensor, to_pil_image

        steps, channels = events.shape[1:3]
        if (steps, channels) != (1, 3):
            raise RecipeError(
                f"augmentation 'autoaugment' takes still images of three colours, not frames of {steps} steps and"
                f" {channels} channels"
            )
        seeds = (rng.uniform(stream="autoaugment") * 2**62).long().tolist()
        images = (events[:, 0] * 255).round_().to("cpu", torch.uint8)
        changed = []
        with torch.random.fork_rng(devices=()):
            for seed, image in zip(seeds, images, strict=True):
                torch.manual_seed(seed)
                changed.append(pil_to_tensor(self.operations(to_pil_image(image))))
        return (torch.stack(changed).to(events) / 255)[:, None], target
