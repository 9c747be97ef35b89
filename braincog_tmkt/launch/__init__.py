"""Several runs or processes: which are to come, where they go, what they would cost."""
