"""Studies: a function at every point of some axes, with trials; seeded, resumable, on processes or a Dask cluster."""
