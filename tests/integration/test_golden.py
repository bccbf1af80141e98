"""What chips do is what they did, to the bit of a spike and 1e-12 of an energy; 1e-9 on another kind of machine."""

import json

import pytest

from tests.golden import FOLDER, machine, stored
from tests.golden.cases import FAST, SLOW

pytestmark = pytest.mark.compiled
SAME = machine() == json.loads((FOLDER / "machine.json").read_text())
CLOSE = 1e-12 if SAME else 1e-9


def differences(now, then, place=""):
    """Yield where two values differ: numbers by more than 1e-12 of themselves, all else at all."""
    if isinstance(then, dict):
        assert now.keys() == then.keys(), f"{place}: {now.keys() ^ then.keys()}"
        for key, value in then.items():
            yield from differences(now[key], value, f"{place}/{key}")
    elif isinstance(then, list):
        assert len(now) == len(then), place
        for k, value in enumerate(then):
            yield from differences(now[k], value, f"{place}/{k}")
    elif isinstance(then, float) and isinstance(now, float):
        room = CLOSE * (abs(then) + ("ir_drop" in place))  # a difference of numbers near 1
        if not (abs(now - then) <= room or (now != now and then != then)):
            yield place, now, then
    elif now != then:
        yield place, now, then


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_chips_do_what_they_did(name):
    if name.startswith("study") and not SAME:
        pytest.skip("studies run in single precision, whose last bits are those of a machine")
    then = json.loads((FOLDER / f"{stored(name)}.json").read_text())
    now = json.loads(json.dumps((FAST | SLOW)[name]()))
    assert list(differences(now, then))[:10] == []
