"""Training and evaluation: the only place that knows Fabric, devices and clocks."""
