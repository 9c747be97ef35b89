"""Images in the channels of the layer that gets them."""

from torch import Tensor

from ..errors import DataError


def in_channels(images: Tensor, channels: int) -> Tensor:
    """Images with another number of channels: as they are if it is theirs, otherwise V = max(R, G, B) in every channel.

    Of colours this is what `data.appearance: value` gives. Images of one channel come as two equal ones; the maximum of
    those is the image.

    Args:
        images: `[B, C, H, W]`.
        channels: C of the result.

    Example:
        >>> import torch
        >>> in_channels(torch.tensor([0.1, 0.7, 0.3]).view(1, 3, 1, 1), 2).flatten().tolist() == [0.699999988079071] * 2
        True
    """
    if not images.shape[1]:
        raise DataError("there are no static images: give [B, C, H, W] with a channel or more")
    if images.shape[1] == channels:
        return images
    return images.amax(1, keepdim=True).expand(-1, channels, -1, -1)
