"""No attention."""

from . import ATTENTIONS


@ATTENTIONS.register("none", label="none")
def no_attention(channels: int) -> None:
    """No module at all, so that a network without attention keeps the names of its layers.

    Args:
        channels: C; not used.
    """
