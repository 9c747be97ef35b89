"""Files of E2VID weights in the published layout, with random numbers."""

from pathlib import Path

import torch

from braincog_tmkt.data.reconstruct.weights import NETWORKS

SMALL = {"num_bins": 3, "num_encoders": 1, "base_num_channels": 2, "num_residual_blocks": 1}


def write_weights(path: Path, arch: str = "E2VIDRecurrent", legacy: bool = False, **more: object) -> Path:
    """A small network of `arch` (`SMALL`); `more` replaces or adds entries of the file, `legacy` is torch's old format."""
    torch.manual_seed(0)
    settings = SMALL if arch == "E2VIDRecurrent" else {"num_bins": 3, "base_num_channels": 2}
    content = {"arch": arch, "model": settings, "state_dict": NETWORKS[arch](**settings).state_dict(), **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
