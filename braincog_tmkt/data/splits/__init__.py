"""Who trains, who is held out, and which static images training may draw; one file a kind of protocol."""

from .base import PROTOCOLS, STATIC_POOLS, Protocol, Split, drawable, make_split

__all__ = ["PROTOCOLS", "STATIC_POOLS", "Protocol", "Split", "drawable", "make_split"]
