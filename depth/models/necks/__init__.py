"""Necks: a list of feature maps, finest first, to another one."""
