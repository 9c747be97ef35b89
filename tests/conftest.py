"""Shared by all tests: one torch thread, and the folder of real data and golden vectors where there is one."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # shared cores: two threads are slower than one


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder (TMKT_SHARED, or ../shared beside the project); the test is skipped without it."""
    folder = Path(os.environ.get("TMKT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}")
    return folder
