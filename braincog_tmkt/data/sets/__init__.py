"""The data sets, one file each; importing this package registers them in `DATASETS`."""

from .base import DATASETS, Card, DataSet
from .digits import Digits
from .ncaltech101 import NCaltech101
from .nmnist import NMNIST

__all__ = ["DATASETS", "NMNIST", "Card", "DataSet", "Digits", "NCaltech101"]
