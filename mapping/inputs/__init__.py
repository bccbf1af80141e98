"""Images, spikes and labels as users give them, and data sets."""
