"""No attention."""

from . import ATTENTIONS


@ATTENTIONS.register("none", label="none")
def no_attention(channels: int) -> None:
    """No attention: no module is made, and the layers keep their names.

    Args:
        channels: C; not used.
    """
