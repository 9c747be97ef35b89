"""Attention modules, one file each, found by their decorators: a factor on the outputs of nodes.

`tcja` weighs steps and channels together, `none` does nothing. A network places them where its docstring says.
"""

from ...registry import Registry

ATTENTIONS = Registry("attention", __package__, ["ATTENTIONS.register"])
