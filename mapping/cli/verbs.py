"""The verbs that networks and chips add to the ``xbarsim`` command."""

from __future__ import annotations

from collections.abc import Callable

from mapping.cli.adcs_verb import adcs
from mapping.cli.import_verb import import_network
from mapping.cli.paper_verb import paper
from mapping.cli.report_verb import report
from mapping.cli.study_verb import study
from mapping.cli.table1_verb import table1
from mapping.cli.terms_verb import terms
from mapping.cli.train_verbs import search, train
from xbarsim.cli.app import app, main
from xbarsim.errors import extra

__all__ = ["app", "main"]


_VERBS: dict[str, Callable[..., None]] = {
    "adcs": adcs,
    "train": train,
    "search": search,
    "import": import_network,
    "paper": paper,
    "study": study,
    "table1": table1,
    "terms": terms,
    "report": report,
}
for name, verb in _VERBS.items():
    app.command(name)(extra("networks", name)(verb))
