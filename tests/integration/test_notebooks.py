"""Notebooks: each script runs in quick mode, and its notebook holds the same cells with the outputs of a full run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
MACHINE_PATH = re.compile(r"(?<![\w./~-])/(?:home|root|tmp|work|usr|opt|mnt|var|private|Users)/\w")
named = pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])


def cells(notebook):
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def texts(outputs):
    for output in outputs:
        yield from ([output.text] if output.output_type == "stream" else [])
        yield from (text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))


@pytest.mark.compiled
@named
def test_scripts_run_in_quick_mode(script, tmp_path):
    for data in FOLDER.glob("*.csv"):
        shutil.copy(data, tmp_path)
    env = os.environ | {"XBARSIM_QUICK": "1", "MPLBACKEND": "Agg", "PYTHONPATH": str(FOLDER.parent)}
    no_window = "ignore:FigureCanvasAgg is non-interactive:UserWarning"  # of plt.show() where there is a display
    command = [sys.executable, "-W", "error", "-W", no_window, script]
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]


@named
def test_notebooks_hold_the_cells_of_their_scripts(script):
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(script, fmt="py:percent"))


@named
def test_notebooks_hold_outputs_of_a_run_without_errors(script):
    code = [cell for cell in jupytext.read(script.with_suffix(".ipynb")).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    for text in texts(outputs):
        assert not MACHINE_PATH.search(text), text


@named
def test_scripts_are_short(script):
    assert len(script.read_text(encoding="utf-8").splitlines()) < 150
    assert script.with_suffix(".ipynb").is_file()


def test_paths_of_a_machine_are_recognized():
    assert MACHINE_PATH.search("File /home/ada/x.py") and MACHINE_PATH.search("'/tmp/a'")
    assert not MACHINE_PATH.search("images/s, TOPS/W, 1/tmp/2")
