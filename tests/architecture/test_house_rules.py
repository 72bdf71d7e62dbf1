"""Rules of this code base that no linter knows."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize

import pytest
from source import ROOT, Definition, Module, modules

SUPERVISORS = {"daemon/service.py", "cli/main.py"}
"""Where a defect must not end the process, or must not end it with a traceback."""


def name(node: ast.expr | None) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} if node is not None else {"Exception"}


def is_broad(handler: ast.ExceptHandler) -> bool:
    return bool(name(handler.type) & {"Exception", "BaseException"})


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler cleans up only: its last statement raises what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_only_supervisors_swallow_every_exception() -> None:
    broad = {
        module.path
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and not passes_on(node)
    }
    assert broad == SUPERVISORS


def is_bare_protocol_member(module: Module, node: Definition) -> bool:
    """A member of a protocol that is a name and a type only; the protocol's docstring speaks for it."""
    holder = next(module.above(node))
    if isinstance(node, ast.ClassDef) or not isinstance(holder, ast.ClassDef) or len(node.body) > 1:
        return False
    only = node.body[0]
    bare = isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant) and only.value.value is ...
    return bare and "Protocol" in {part for base in holder.bases for part in name(base)}


def is_overload(node: Definition) -> bool:
    """A signature alone; the function that follows has the docstring."""
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)


def test_what_others_may_use_has_a_docstring() -> None:
    silent = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules()
        for node in module.public()
        if not ast.get_docstring(node) and not is_bare_protocol_member(module, node) and not is_overload(node)
    ]
    assert silent == []


def test_modules_say_what_they_are_for() -> None:
    assert [module.path for module in modules() if module.lines and not ast.get_docstring(module.tree)] == []


def dotted(module: Module) -> str:
    return "sds_daemon." + module.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def exported(module: Module) -> list[str]:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and "__all__" in {t.id for t in node.targets if isinstance(t, ast.Name)}:
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


@pytest.mark.parametrize("module", [m for m in modules() if exported(m)], ids=lambda module: module.path)
def test_exported_names_exist_and_are_in_order(module: Module) -> None:
    names = exported(module)
    there = importlib.import_module(dotted(module))
    assert [name for name in names if not hasattr(there, name)] == []
    assert names == sorted(set(names))


def imports(module: Module) -> list[tuple[str, str]]:
    return [
        (node.module or "", alias.name)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def test_nobody_reaches_for_another_modules_private_names() -> None:
    reached = [
        f"{module.path}: {source}.{name}"
        for module in modules()
        for source, name in imports(module)
        if source.startswith("sds_daemon.") and (name.startswith("_") or "._" in source)
    ]
    assert reached == []


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")


def test_nothing_is_left_unfinished() -> None:
    words = [
        f"{path.relative_to(ROOT)}:{token.start[0]}"
        for path in ROOT.rglob("*.py")
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type in (tokenize.COMMENT, tokenize.NAME, tokenize.STRING) and UNFINISHED.search(token.string)
    ]
    assert words == []
