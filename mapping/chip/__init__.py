"""A chip: its arrays, what surrounds them, and both as one of its dies has them."""
