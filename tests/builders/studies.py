"""Studies of chips as files."""

import json


def write(study, path):
    """Write a study as a user would, in TOML."""
    lines = [f"{name} = {json.dumps(getattr(study, name))}" for name in ("network", "chip", "dataset", "images")]
    lines += [f"trials = {study.trials}", f"seed = {study.seed}"]
    for axis in study.axes:
        lines += ["[[axes]]", f'name = "{axis.name}"', f'label = "{axis.label}"']
        lines += [f"sets = {json.dumps(axis.sets)}", f"values = {json.dumps(axis.values)}"]
    path.write_text("\n".join(lines))
    return path
