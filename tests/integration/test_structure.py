"""How packages and tests are built: no circles among imports, parts say what others need to know, tests have rooms."""

import re
from pathlib import Path

import mapping as mp
from tests.oracles.structure import circles, flat_modules, folders, longest, of_one_name

ROOT = Path(mp.__file__).parent
TESTS = Path(__file__).parents[1]
PARTS = ("SarAdc", "SenseAmp", "ChargeNeuron", "PassiveNeuron", "DigitalNeuron", "Driver", "Link", "Logic")
PARTS += ("CurrentLimit",)


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


def test_no_test_module_imports_another():
    """Scripts in strings neither."""
    imports = re.compile(r"^\s*(?:from|import)\s[^#\n]*\btest_\w", re.MULTILINE)
    assert [str(path) for path in TESTS.rglob("*.py") if imports.search(path.read_text())] == []


def test_modules_of_tests_are_short():
    lengths = {str(path): len(path.read_text().splitlines()) for path in TESTS.rglob("*.py")}
    assert len(lengths) > 100 and [path for path, lines in lengths.items() if lines > 400] == []


def test_folders_of_unit_tests_are_those_of_the_packages():
    tested = {path.parent.relative_to(TESTS / "unit").as_posix() for path in TESTS.glob("unit/*/**/test_*.py")}
    assert {"xbarsim", "xbarsim/study", "mapping/engines"} <= tested
    assert [folder for folder in tested if not (ROOT.parent / folder).is_dir()] == []


def test_mapping_is_rooms():
    """At most 14 folders, no module beside them, no two files of one name."""
    assert len(folders(ROOT)) <= 14 and flat_modules(ROOT) == [] and of_one_name(ROOT) == []


def test_rooms_are_counted(tmp_path):
    for name in ("a/__init__.py", "a/same.py", "b/__init__.py", "b/same.py", "c/same.txt", "__init__.py", "flat.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("def f():\n    return 1\n" if name == "flat.py" else "")
    assert folders(tmp_path) == ["a", "b"] and flat_modules(tmp_path) == ["flat.py"]
    assert of_one_name(tmp_path) == ["same.py"] and longest(tmp_path)[1][0] == 2
