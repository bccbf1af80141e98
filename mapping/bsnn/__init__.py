"""Binarized spiking networks in software: what they are, how they train, how they are stored."""
