"""Networks in software, spiking and conventional: specifications, layers, files."""
