"""Networks of other frameworks and files, each as a graph."""
