"""Who trains, who is held out, and which static images training may draw; importing this registers all protocols."""

from . import clean, published
from .base import PROTOCOLS, STATIC_POOLS, Protocol, Split, drawable, make_split

__all__ = ["PROTOCOLS", "STATIC_POOLS", "Protocol", "Split", "clean", "drawable", "make_split", "published"]
