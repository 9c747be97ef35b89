"""A protocol for one question: what does the leak of `published_unsorted` change, if nothing else does?"""

from dataclasses import replace

from braincog_tmkt.data.splits import PROTOCOLS, Protocol, Split, make_split
from braincog_tmkt.data.types import Index


@PROTOCOLS.register("unsorted_control")
def unsorted_control(index: Index, protocol: Protocol) -> Split:
    """Divide the recordings as `published_unsorted` does, and draw the images of training recordings only."""
    leaky = make_split(index, replace(protocol, name="published_unsorted"))
    own = {item.key for item in index.statics}.intersection(leaky.train)
    return replace(leaky, protocol=replace(leaky.protocol, name=protocol.name), pool=tuple(sorted(own)), leaky=False)
