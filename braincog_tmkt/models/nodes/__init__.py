"""Neuron nodes of ours, one file each, found by their decorators; BrainCog's own need no entry."""

from ...registry import Registry

NODES = Registry("node", __package__, ["NODES.register"])
