"""Files of E2VID weights in the published layout, with random numbers."""

from pathlib import Path

import torch

from braincog_tmkt.data.reconstruct.weights import NETWORKS

SMALL = {"num_bins": 3, "num_encoders": 1, "base_num_channels": 2, "num_residual_blocks": 1}


def write_weights(
    path: Path, network: str = "E2VIDRecurrent", legacy: bool = False, nested: bool = False, **more: object
) -> Path:
    """A small network (`SMALL`).

    `legacy` is torch's old format; with `nested` the settings are in `config.model`, with keys that no network here
    takes; `more` replaces or adds entries.
    """
    torch.manual_seed(0)
    settings = SMALL if network == "E2VIDRecurrent" else {"num_bins": 3, "base_num_channels": 2}
    weights = {key: 4 * value for key, value in NETWORKS[network](**settings).state_dict().items()}
    where = {"config": {"model": {**settings, "norm": "none", "kernel_size": 5}}} if nested else {"model": settings}
    content = {"arch": network, **where, "state_dict": weights, **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
