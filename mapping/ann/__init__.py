"""The conventional baseline: artificial neural networks in whole numbers, as arrays with multi-bit ADCs run them."""
