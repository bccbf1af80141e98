import os

from hypothesis import settings

os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
settings.register_profile("suite", derandomize=True)  # the same examples in every run; campaigns choose others
settings.load_profile("suite")
