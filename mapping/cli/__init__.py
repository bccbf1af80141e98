"""The verbs that networks and chips add to the ``xbarsim`` command."""
