"""Training of networks, and the search for what trains them best."""
