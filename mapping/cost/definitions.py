"""What the quantities of reports, studies and memory reads are: one name, one definition and one formula each.

``DEFINITIONS`` has those of ``data/terms.toml`` by the name of the attribute, JSON key or column; ``xbarsim terms``
prints them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mapping.inputs.resources import data_folder
from xbarsim.parameters import read_toml


@dataclass(frozen=True)
class Definition:
    """What a quantity is.

    Attributes
    ----------
    label : str
        What tables and plots call it.
    unit : str
        "1" for a share or a count.
    text, formula : str
    """

    label: str
    unit: str
    text: str
    formula: str

    def __str__(self) -> str:
        return f"{self.text} {self.formula}"


DEFINITIONS = {name: Definition(**fields) for name, fields in read_toml(data_folder() / "terms.toml").items()}
