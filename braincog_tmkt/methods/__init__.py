"""Methods: how a two-stream backbone is trained. One file each; importing this enters them in `METHODS`."""

from . import baseline, hsd, knowledge_transfer, tmkt  # entered by their decorators
from .base import METHODS, Method

__all__ = ["METHODS", "Method", "baseline", "hsd", "knowledge_transfer", "tmkt"]
