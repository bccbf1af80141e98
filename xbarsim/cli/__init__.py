"""The ``xbarsim`` command, as far as circuits and devices go."""
