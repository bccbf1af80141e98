"""Without what extras bring: circuits and devices as before, and of the rest one line that says what to install."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.training.search_storage import with_optuna

BARE = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "safetensors", "pooch", "h5netcdf", "h5py"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

def said(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]
"""
COMMANDS = """
import contextlib, io
from mapping.cli.verbs import main
done = []
for arguments in json.loads(sys.argv[1]):
    sys.argv, out, error = ["xbarsim", *arguments], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main()
        except SystemExit as end:
            done.append([end.code, out.getvalue(), error.getvalue()])
print(json.dumps(done))
"""
REMEDY = """needs the extra networks (No module named 'torch'); run pip install "xbarsim[networks]\""""
FREE = {
    *("Accounting", "Calibration", "Chip", "CurrentLimit", "Driver", "Link", "Logic", "NetworkSpec"),
    *("Axis", "SarAdc", "SenseAmp", "Study", "events", "list_chips", "list_studies", "load_chip", "load_dataset"),
    "load_study",
}


def bare(code, *arguments, cwd=None):
    """What a script prints as JSON where torch and the like are not installed."""
    command = [sys.executable, "-c", BARE + code, *arguments]
    wide = os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=cwd, env=wide, check=True).stdout)


def test_every_public_name_resolves():
    assert mp.__all__ == dir(mp) and len(mp.__all__) == len(set(mp.__all__))
    for name in mp.__all__:
        assert getattr(mp, name) is not None
    assert not hasattr(mp, "nothing")


def test_every_public_name_works_or_says_what_to_install():
    code = "import mapping as mp; print(json.dumps({name: said(getattr, mp, name) for name in mp.__all__}))"
    errors = {name: error for name, error in bare(code).items() if error}
    assert errors.keys() <= set(mp.__all__) - FREE
    assert errors.keys() >= {"MappedNetwork", "Network", "load_network", "map_network", "sine_test", "train"}
    for name, error in errors.items():
        assert error == ["ExtraError", f"mapping.{name} {REMEDY}"]


def test_what_needs_torch_in_part_says_so_when_it_does():
    code = """
import mapping as mp
adc = mp.load_chip("paper-ann").readout
print(json.dumps([said(mp.adc_energy), said(mp.adc_transfer, adc), said(mp.adc_linearity, adc)]))
"""
    assert bare(code) == [None, *(["ExtraError", f"mapping.adc_{of} {REMEDY}"] for of in ("transfer", "linearity"))]


def test_commands_work_or_say_what_to_install(tmp_path):
    np.savetxt(tmp_path / "g.csv", [[1e-5, 1e-6]], delimiter=",")
    np.savetxt(tmp_path / "v.csv", [0.3])
    (tmp_path / "net.nir").write_bytes(b"")
    refused = [
        *(["report"], ["paper"], ["table1", "--quick"], ["study", "d2d"], ["train", "net.safetensors"]),
        *(["search", "runs.db"], ["import", "net.nir", "net.safetensors", "--dt=1", "--reset=zero", "--fire=>"]),
    ]
    free = [["solve", "g.csv", "v.csv"], ["spice", "g.csv", "v.csv"], ["devices", "pcm-ibm"], ["adcs"], ["terms"]]
    helped, *done = bare(COMMANDS, json.dumps([["--help"], *refused, *free]), cwd=tmp_path)
    assert helped[0] == 0 and all(f" {verb} " in helped[1] for verb, *_ in refused + free)
    assert done[0] == [2, "", f"xbarsim: report {REMEDY}\n"]
    for (verb, *_), (code, out, error) in zip(refused, done):
        assert (code, out) == (2, "") and error.startswith("xbarsim: ") and error.count("\n") == 1, verb
        assert error.endswith('; run pip install "xbarsim[networks]"\n'), error
    for (verb, *_), (code, out, error) in zip(free, done[len(refused) :]):
        assert code == 0 and out and "install" not in error, verb


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("optuna", "search", with_optuna),
        ("nir", "nir", lambda: mp.load_network("net.nir", dt=1, reset_mechanism="zero", fire=">")),
        ("distributed", "cluster", lambda: xb.monte_carlo(len, n_trials=1, cluster="tcp://localhost:1")),
        ("openpyxl", "files", lambda: xb.read_table("r.xlsx")),
    ],
)
def test_every_extra_is_named_in_one_way(package, extra, use, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    for file in ("net.nir", "r.xlsx"):
        (tmp_path / file).write_bytes(b"PK")
    words = rf'needs the extra {extra} \(.*{package}.*\); run pip install "xbarsim\[{extra}\]"'
    with pytest.raises(xb.ExtraError, match=words):
        use()
