"""The data sets, one file each, found by their decorators; `from braincog_tmkt.data.sets import NMNIST` works, too."""

from typing import Any

from .base import DATASETS, Card, DataSet, build_dataset

__all__ = ["DATASETS", "Card", "DataSet", "build_dataset"]


def __getattr__(name: str) -> Any:
    for dataset in DATASETS.values() if name[:1].isupper() else ():
        if getattr(dataset, "__name__", None) == name:
            return dataset
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
