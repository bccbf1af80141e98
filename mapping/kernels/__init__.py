"""Compiled kernels of inference and training, over arrays."""
