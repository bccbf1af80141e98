import os
import sys

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.builders", "tests.oracles")
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
settings.register_profile("suite", derandomize=True)  # the same examples in every run; campaigns choose others
settings.load_profile("suite")


@pytest.fixture
def command(monkeypatch, capsys):
    """The command in this process: given arguments, returns its exit status and what it wrote to stdout and stderr."""
    from mapping.cli.verbs import main

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["xbarsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return run


def pytest_terminal_summary(terminalreporter):
    """Say what campaigns counted."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
