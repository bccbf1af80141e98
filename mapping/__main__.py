"""``python -m mapping`` is the ``xbarsim`` command."""

from mapping.cli.verbs import main

main()
