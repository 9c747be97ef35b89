"""A finished run, taken up again; and the environment that runs live in."""
