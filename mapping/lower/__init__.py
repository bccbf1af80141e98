"""From a trained network to what its chip is made of: batch norm folded, bits sliced, layers cut into arrays."""
