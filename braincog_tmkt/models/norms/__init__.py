"""Normalisations, one file each, found by their decorators.

`step` keeps statistics per time step and stream, `step_own` also a running set per step, `shared` takes all steps
together, `tdbn` begins at another weight than `shared`, `tdbn_fixed` multiplies by a number besides, `none` does
nothing.
"""

from ...registry import Registry

NORMS = Registry("norm", __package__, ["NORMS.register"])
