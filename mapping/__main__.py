"""``python -m mapping`` is the ``xbarsim`` command."""

from mapping.cli import main

main()
