import os

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.builders", "tests.oracles")
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
settings.register_profile("suite", derandomize=True)  # the same examples in every run; campaigns choose others
settings.load_profile("suite")


def pytest_terminal_summary(terminalreporter):
    """Say what campaigns counted."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
