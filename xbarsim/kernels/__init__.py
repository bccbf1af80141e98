"""Compiled kernels over arrays and scalars; they return a status and never raise."""
