"""The program's own source, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import sds_daemon

ROOT = Path(sds_daemon.__file__).parent
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Module:
    """A source file: its path below the package, its lines, its tree and each node's parent."""

    path: str
    lines: int
    tree: ast.Module
    parents: dict[ast.AST, ast.AST] = field(repr=False)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes a node stands in, innermost first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """All functions, methods and inner functions."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def public(self) -> Iterator[Definition]:
        """Functions, methods and classes others may use: no underscore in the name, nor in what they stand in."""
        for node in ast.walk(self.tree):
            if isinstance(node, Definition):
                outer = [above for above in self.above(node) if isinstance(above, Definition)]
                inner_function = any(not isinstance(above, ast.ClassDef) for above in outer)
                if not inner_function and not any(part.name.startswith("_") for part in (node, *outer)):
                    yield node


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    found: list[Module] = []
    for path in sorted(ROOT.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        found.append(Module(path.relative_to(ROOT).as_posix(), len(text.splitlines()), tree, parents))
    return tuple(found)
