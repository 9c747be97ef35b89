"""The networks, by name; their files are imported when one of them is built."""

from ..registry import Registry

MODELS = Registry("model", __package__, ["MODELS.register"])
