"""What quantities are called, how they are defined, and how shares are written."""

from mapping.cost.definitions import DEFINITIONS
from mapping.cost.tables import with_interval
from mapping.study.results import DESCRIPTIONS


def test_every_quantity_has_one_name_and_a_definition(command):
    assert {
        name for name in DESCRIPTIONS if name not in ("energy_by_module", "correct", "warnings")
    } <= DEFINITIONS.keys()
    labels = [one.label for one in DEFINITIONS.values()]
    assert len(set(labels)) == len(labels) and all(one.text and one.formula for one in DEFINITIONS.values())
    code, text, _ = command("terms", "adc_power_share")
    assert not code and "E_conversion / sum over modules of E_module" in " ".join(text.replace("│", " ").split())
    code, _, error = command("terms", "adc_share")
    assert code == 2 and "term 'adc_share' is unknown; give one of accuracy," in error


def test_shares_carry_their_intervals():
    assert with_interval(0.987, (0.978, 0.9921)) == "98.7% (97.8 to 99.2)" and with_interval(None, None) == ""
