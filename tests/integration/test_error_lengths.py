"""What errors say in their own words is never cut."""

import ast
from pathlib import Path

import xbarsim as xb

ROOT = Path(xb.__file__).parents[1]


def words(node):
    """Return what a literal or formatted string says, with 'x' for what it quotes."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "'x'" for part in parts)


def test_our_own_words_are_never_cut():
    found = []
    for path in (*ROOT.glob("xbarsim/**/*.py"), *ROOT.glob("mapping/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error") and node.args:
                texts = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.JoinedStr | ast.Constant)]
                found += [words(text) for text in texts if isinstance(getattr(text, "value", ""), str)]
    assert len(found) > 400
    assert [text for text in found if str(xb.XbarsimError(text)) != " ".join(text.splitlines())] == []
