"""Surrogate gradients of ours, one file each, found by their decorators; BrainCog's own need no entry."""

from ...registry import Registry

SURROGATES = Registry("surrogate", __package__, ["SURROGATES.register"])
