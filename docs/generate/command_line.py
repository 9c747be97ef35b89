"""The reference of the command line, from the parser's own help texts and examples."""

from braincog_tmkt.cli import reference as page

__all__ = ["page"]
