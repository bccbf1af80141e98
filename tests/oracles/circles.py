"""Circles among imports, those for types alone included."""

from collections.abc import Iterator

import grimp


def circles(*packages: str) -> list[list[str]]:
    """Return the groups of modules of packages that import each other."""
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
