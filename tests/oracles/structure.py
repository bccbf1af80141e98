"""How packages are built, in numbers: ``python -m tests.oracles.structure``."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp


def circles(*packages: str) -> list[list[str]]:
    """Return the groups of modules of packages that import each other, be it for types alone."""
    graph = grimp.build_graph(*packages)
    after = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    return [sorted(group) for group in _groups(after) if len(group) > 1]


def _groups(after: dict[str, set[str]]) -> Iterator[set[str]]:
    """Yield strongly connected modules: those that reach each other."""

    def reached(start: str) -> set[str]:
        seen, left = {start}, [start]
        while left:
            new = after[left.pop()] - seen
            seen |= new
            left += new
        return seen

    reach = {module: reached(module) for module in after}
    left = set(after)
    while left:
        module = left.pop()
        group = {other for other in reach[module] if module in reach[other]}
        left -= group
        yield group


def folders(package: Path) -> list[str]:
    """Return the folders of modules directly within a package."""
    return sorted(path.name for path in package.iterdir() if (path / "__init__.py").is_file())


def flat_modules(package: Path) -> list[str]:
    """Return the modules that lie in no folder of a package, but for what Python itself asks for."""
    return sorted(path.name for path in package.glob("*.py") if path.stem not in ("__init__", "__main__"))


def of_one_name(package: Path) -> list[str]:
    """Return the names that several modules of a package have."""
    names = Counter(path.name for path in package.rglob("*.py") if path.stem not in ("__init__", "__main__"))
    return sorted(name for name, count in names.items() if count > 1)


def longest(package: Path) -> tuple[tuple[int, str], tuple[int, str]]:
    """Return the longest file and the longest function, each with its lines."""
    files, functions = [], []
    for path in package.rglob("*.py"):
        text = path.read_text()
        files.append((len(text.splitlines()), str(path.relative_to(package.parent))))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                functions.append((node.end_lineno - node.lineno + 1, f"{files[-1][1]}: {node.name}"))
    return max(files), max(functions)


if __name__ == "__main__":
    import mapping

    root = Path(mapping.__file__).parent
    print(f"circles of imports: {len(circles('mapping', 'xbarsim'))}")
    for package in (root, root.parent / "xbarsim"):
        lines = sum(len(path.read_text().splitlines()) for path in package.rglob("*.py"))
        counts = len(folders(package)), len(flat_modules(package)), len(of_one_name(package))
        print(f"{package.name}: {lines} lines, {counts[0]} folders, {counts[1]} flat modules, {counts[2]} names twice")
        for what, (length, where) in zip(("file", "function"), longest(package)):
            print(f"  longest {what}: {where}, {length} lines")
