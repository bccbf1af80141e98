"""Write the goldens: python -m tests.golden [words of the names of cases]."""

import json
import sys

from tests.golden import FOLDER, machine, stored
from tests.golden.cases import FAST, SLOW

(FOLDER / "machine.json").write_text(json.dumps(machine()) + "\n")
for name, case in (FAST | SLOW).items():
    if all(word in name for word in sys.argv[1:]):
        (FOLDER / f"{stored(name)}.json").write_text(json.dumps(case()) + "\n")
        print(name)
