"""The study that all ways to run it give."""

import pytest

from tests.oracles.study_script import study


@pytest.fixture(scope="session")
def expected():
    return study(None, 1)
