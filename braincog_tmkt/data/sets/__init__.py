"""The data sets, one file each; importing this package registers them in `DATASETS`."""

from .base import DATASETS, Card, DataSet, build_dataset
from .cepdvs import CEPDVS
from .cifar10 import CIFAR10
from .cifar10dvs import CIFAR10DVS
from .digits import Digits
from .dvsgesture import DVSGesture
from .folder import Folder
from .ncaltech101 import NCaltech101
from .nmnist import NMNIST
from .nomniglot import NOmniglot

__all__ = [
    "CEPDVS",
    "CIFAR10",
    "CIFAR10DVS",
    "DATASETS",
    "NMNIST",
    "Card",
    "DVSGesture",
    "DataSet",
    "Digits",
    "Folder",
    "NCaltech101",
    "NOmniglot",
    "build_dataset",
]
