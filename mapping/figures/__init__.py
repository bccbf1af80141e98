"""Plots of converters, activity and reports; each draws on the axes given."""
