import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real samples; tests that use it skip where it is not (mark them `data`)."""
    folder = Path(os.environ.get("TMKT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder} is not there (set TMKT_SHARED)")
    return folder
