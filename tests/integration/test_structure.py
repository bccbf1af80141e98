"""How the packages are built: no circles among imports; parts of a chip say themselves what others need to know."""

import re
from pathlib import Path

import mapping as mp
from tests.oracles.circles import circles

ROOT = Path(mp.__file__).parent
PARTS = ("SarAdc", "SenseAmp", "ChargeNeuron", "PassiveNeuron", "DigitalNeuron", "Driver", "Link", "CurrentLimit")


def test_no_circles_of_imports():
    assert circles("mapping", "xbarsim") == []


def test_circles_are_found(tmp_path, monkeypatch):
    for name, text in (
        ("a", "from round import b"),
        ("b", "import typing\nif typing.TYPE_CHECKING:\n    import round.a"),
    ):
        (tmp_path / "round").mkdir(exist_ok=True)
        (tmp_path / "round" / f"{name}.py").write_text(text)
    (tmp_path / "round" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert circles("round") == [["round.a", "round.b"]]


def test_nobody_asks_for_the_class_of_a_part():
    """An isinstance on a class of the periphery, outside of it, is a method that is missing there."""
    asked = re.compile(rf"isinstance\([^()]*\b({'|'.join(PARTS)}|Calibration)\b")
    found = [str(p) for p in ROOT.rglob("*.py") if p.parent.name != "periphery" and asked.search(p.read_text())]
    assert found == []
