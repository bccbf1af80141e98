"""What a type checker says of a user's scripts: nothing of right ones, and what is wrong with wrong ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.adc_test import Linearity
from mapping.mapped.mapped_network import MappedNetwork
from mapping.networks.network import Network

ROOT = Path(mp.__file__).parents[1]

MORE = """
def loss(rng: np.random.Generator, r_wire: float) -> dict[str, float]:
    return {"i_bitline": r_wire * float(rng.normal())}


data = xb.sweep(loss, {"r_wire": [1.0, 2.0]}, n_trials=3, seed=1)
recipe = mp.load_recipe("mnist-bsnn").changed(weights="ternary", epochs=3)
trained = mp.train(recipe.network, *mp.load_dataset("mnist", "train"), recipe.training, checkpoint="run")
adc = mp.SarAdc(n_bits=8, f_sample=40e6, power=40e-6, columns_per_adc=8, law="2^b")
"""
REVEALED = {
    'mp.load_chip("paper-bsnn")': mp.Chip,
    "chip": mp.Chip,
    'mp.load_network("mnist-bsnn")': Network,
    "mapped": MappedNetwork,
    "report": mp.Report,
    "report.accuracy": "float",
    "report.run": mp.Run,
    "sol": xb.Solution,
    "ports": xb.PortModel,
    "die": xb.Die,
    "selected": xb.MemoryRead,
    "recipe": mp.Recipe,
    "trained": Network,
    "adc": mp.SarAdc,
    "mp.linearity(adc)": Linearity,
    "mp.list_chips()": "list[str]",
}
WRONG = {
    "mp.load_chip(3)": "arg-type",
    'mp.load_chip("paper-bsnn").rowz': "attr-defined",
    'mp.load_netwrok("mnist-bsnn")': "attr-defined",
    "report.tops": "attr-defined",
    "xb.solve(xbar)": "call-arg",
    "xb.solve(g, 0.3)": "arg-type",
    "mapped.evaluate(images)": "call-arg",
}


def readme():
    """The scripts of README's section on Python, one after the other."""
    section = (ROOT / "README.md").read_text().split("\n## From Python\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What mypy says of each line of a user's script, outside the checkout, with xbarsim among its packages."""
    folder = tmp_path_factory.mktemp("user")
    script = readme() + MORE
    first = script.count("\n") + 1
    lines = [*(f"reveal_type({what})" for what in REVEALED), *WRONG]
    (folder / "script.py").write_text(script + "\n".join(lines) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "script.py"]
    packages = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, cwd=folder, env=os.environ | packages, capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, 1) and done.stderr == "", done.stdout + done.stderr
    found = {}
    for file, number, text in re.findall(r"(.*?):(\d+): (.*)", done.stdout):
        place = int(number) - first
        assert file == "script.py" and place >= 0, done.stdout  # no error in the packages, nor in the user's script
        found.setdefault(lines[place], []).append(text)
    return found


def test_types_reach_the_user(said):
    for what, kind in REVEALED.items():
        name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__name__}"
        (note,) = said[f"reveal_type({what})"]
        assert note.replace("builtins.", "") == f'note: Revealed type is "{name}"', what


def test_wrong_use_is_reported(said):
    for line, code in WRONG.items():
        assert any(f"[{code}]" in text for text in said.get(line, [])), line
