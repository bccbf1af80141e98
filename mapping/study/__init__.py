"""Studies of chips: a network on dies of a chip, at every point of some axes, declared in TOML."""
