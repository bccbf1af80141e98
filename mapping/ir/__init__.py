"""A network as a graph of few kinds of nodes: plain data, which all that enters becomes and all that follows reads."""
