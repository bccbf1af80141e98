"""Names and help are shown as they are, brackets and all."""

import re

import numpy as np
import pytest

import mapping as mp
from mapping.cli.verbs import app
from mapping.inputs.resources import data_folder

ODD = "[/]x [bold] :smile: [red]y[/red]"


@pytest.mark.compiled
def test_names_are_shown_as_they_are(tmp_path, tiny, command):
    """What users name, brackets, colons and all, in reports, studies and errors."""
    network = tmp_path / "[b]net.safetensors"
    mp.save_network(tiny[0].float(), network)
    np.savez(tmp_path / "[i]data.npz", images=tiny[1], labels=np.arange(len(tiny[1])) % 3)
    shipped = (data_folder() / "chips/paper-bsnn.toml").read_text()
    (tmp_path / "odd.toml").write_text(shipped.replace('name = "paper-bsnn"', f'name = "{ODD}"'))
    (tmp_path / "study.toml").write_text(
        f'title = "{ODD}"\ndescription = "said {ODD}"\nnetwork = "{network.name}"\nchip = "odd.toml"\n'
        f'dataset = "[i]data.npz"\nimages = 3\n[[axes]]\nname = "d2d"\nlabel = "of {ODD}"\n'
        f'sets = ["chip.device.d2d"]\nvalues = [0.1]\n[[axes]]\nname = "c"\n[axes.cases]\n"is {ODD}" = {{}}\n'
    )
    of_report = ["report", network, "--chip", tmp_path / "odd.toml", "--dataset", tmp_path / "[i]data.npz"]
    code, text, error = command(*of_report, "--images", 3)
    assert code == 0, error
    words = " ".join(text.replace("│", " ").replace("┃", " ").split())
    assert f"Warning, {ODD}: " in words and "network [b]net.safetensors" in words and "[i]data.npz" in words
    code, text, error = command("study", tmp_path / "study.toml", "--workers", 1)
    assert code == 0, error
    words = " ".join(text.split())
    assert all(part in words for part in (f"{ODD}, 1 die", f"said {ODD}", "[red]y[/red]", "[b]net.safetensors"))
    code, _, error = command("report", "--chip", tmp_path / "[b]none.toml")
    assert code == 2 and "[b]none.toml: no such file" in error


def test_help_shows_every_bracket(command):
    from typer.main import get_command

    for name, one in get_command(app).commands.items():
        code, text, _ = command(name, "--help")
        words = " ".join(text.replace("│", " ").split())
        assert code == 0
        for option in one.params:
            for part in re.findall(r"\[[^\]]*\]", getattr(option, "help", None) or ""):
                assert part in words, f"{name} {option.name}: {part}"
