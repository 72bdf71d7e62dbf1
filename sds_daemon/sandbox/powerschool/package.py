"""A plugin package as PowerSchool reads it: `plugin.xml`, its grants, and the PowerQueries in `queries_root`."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

NAMESPACE: Final = "http://plugin.powerschool.pearson.com"
_QUERIES: Final = "queries_root/"
_SUFFIX: Final = ".named_queries.xml"
_LIMITS: Final = {"name": 40, "version": 20}
_FIELD_LIMIT: Final = 30
_DESCRIPTION_LIMIT: Final = 256
_LEVELS: Final = ("NONE", "READ", "FULL")
_NAME: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_ALIAS: Final = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)?")
_ELEMENTS: Final = frozenset({"description", "args", "columns", "sql", "tags", "dat"})


@dataclass(frozen=True, slots=True)
class Argument:
    """A bind variable; `array` says that it stands for a list, `default` what it is when the caller gives nothing."""

    name: str
    array: bool
    required: bool
    default: str | None
    casing: str


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of the result: the field of the database it is guarded by, in lower case, and its name in the answer."""

    table: str
    field: str
    alias: str


@dataclass(frozen=True, slots=True)
class Query:
    """One PowerQuery as its file declares it."""

    name: str
    core_table: str
    flattened: bool
    arguments: tuple[Argument, ...]
    columns: tuple[OutputColumn, ...]
    sql: str
    description: str = ""


@dataclass(slots=True)
class Package:
    """What was in a package. `grants` are "table.field" in lower case; `problems` say why it cannot be enabled."""

    name: str = ""
    version: str = ""
    v1_access: str = "NONE"
    grants: set[str] = field(default_factory=set)
    queries: dict[str, Query] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def default_folder() -> Path | None:
    """The plugin that comes with the program: packed with it, or in the repository it runs from."""
    here = Path(__file__).resolve().parents[2]
    places = (here / "_plugin", here.parent / "plugin")
    return next((place for place in places if (place / "plugin.xml").is_file()), None)


def read(path: Path) -> Package:
    """The package in a folder or a .zip file. Raises ValueError if there is nothing to read at all."""
    return read_files(_files(path))


def read_files(files: Mapping[str, bytes]) -> Package:
    """The package made of these files, by their path inside it."""
    package = Package()
    if "plugin.xml" not in files:
        package.problems.append("plugin.xml is not at the root of the package")
        return package
    _read_plugin(files["plugin.xml"], package)
    for name in sorted(files):
        if name.startswith(_QUERIES):
            _read_queries(name, files[name], package)
    return package


def _files(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        found = (entry for entry in sorted(path.rglob("*")) if entry.is_file())
        return {entry.relative_to(path).as_posix(): entry.read_bytes() for entry in found}
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except (OSError, zipfile.BadZipFile) as problem:
        raise ValueError(f"the plugin {path} is neither a folder nor a .zip file: {problem}") from problem


def _parsed(name: str, text: bytes, package: Package) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - the operator's own file
    except ElementTree.ParseError as problem:
        package.problems.append(f"{name}: {problem}")
        return None


# plugin.xml


def _read_plugin(text: bytes, package: Package) -> None:
    root = _parsed("plugin.xml", text, package)
    if root is None:
        return
    if root.tag != f"{{{NAMESPACE}}}plugin":
        package.problems.append(f"plugin.xml: Cannot find the declaration of element '{_local(root.tag)}'")
        return
    _read_attributes(root, package)
    oauth = root.find(f"{{{NAMESPACE}}}oauth")
    if oauth is not None:
        package.v1_access = oauth.get("accessLevelV1Api", "NONE")
        if package.v1_access not in _LEVELS:
            package.problems.append(f"plugin.xml: accessLevelV1Api must be one of {', '.join(_LEVELS)}")
    for request in root.findall(f"{{{NAMESPACE}}}access_request"):
        for entry in request.findall(f"{{{NAMESPACE}}}field"):
            _read_grant(entry, package)


def _read_attributes(root: ElementTree.Element, package: Package) -> None:
    package.name, package.version = root.get("name", ""), root.get("version", "")
    for name, limit in _LIMITS.items():
        if not 0 < len(root.get(name, "")) <= limit:
            package.problems.append(f"plugin.xml: {name} must have 1 to {limit} characters")
    if len(root.get("description", "")) > _DESCRIPTION_LIMIT:
        package.problems.append(f"plugin.xml: description must have at most {_DESCRIPTION_LIMIT} characters")
    children = [_local(child.tag) for child in root]
    package.problems += [
        f"plugin.xml: {name} occurs twice" for name in sorted({n for n in children if children.count(n) > 1})
    ]
    if "publisher" not in children:
        package.problems.append("plugin.xml: publisher is missing")


def _read_grant(entry: ElementTree.Element, package: Package) -> None:
    table, name, access = entry.get("table", ""), entry.get("field", ""), entry.get("access", "")
    if access not in ("ViewOnly", "FullAccess"):
        package.problems.append(f"plugin.xml: access of {table}.{name} must be ViewOnly or FullAccess")
    if not (0 < len(table) <= _FIELD_LIMIT and 0 < len(name) <= _FIELD_LIMIT):
        package.problems.append(
            f"plugin.xml: table and field of {table}.{name} must have 1 to {_FIELD_LIMIT} characters"
        )
    package.grants.add(f"{table}.{name}".lower())


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


# queries_root


def _read_queries(name: str, text: bytes, package: Package) -> None:
    file = name.removeprefix(_QUERIES)
    if "/" in file:
        package.problems.append(f"{name}: queries_root cannot have sub-folders")
        return
    if not file.endswith(_SUFFIX):
        if not file.startswith("."):
            package.problems.append(f"{name}: the name of the file must end in {_SUFFIX}")
        return
    root = _parsed(name, text, package)
    if root is None:
        return
    if root.tag != "queries" or any("schemaLocation" in key for key in root.attrib):
        package.problems.append(f"{name}: Cannot find the declaration of element 'queries'")
        return
    for element in root:
        if element.tag == "query":
            _read_query(name, element, package)
        else:
            package.problems.append(f"{name}: Cannot find the declaration of element '{_local(element.tag)}'")


def _read_query(file: str, element: ElementTree.Element, package: Package) -> None:
    name, problems = element.get("name", ""), package.problems
    where = f"{file}: {name or 'a query without name'}"
    if not _NAME.fullmatch(name):
        problems.append(f"{where}: the name must be dotted parts of letters, digits and _")
    if name.lower().startswith("com.powerschool"):
        problems.append(f"{where}: names that begin with com.powerschool are reserved")
    if name in package.queries:
        problems.append(f"{where}: the name is taken by another query")
    for child in element:
        if child.tag not in _ELEMENTS:
            problems.append(f"{where}: Invalid content was found starting with element '{_local(child.tag)}'")
    columns = tuple(_column(where, entry, package) for entry in element.findall("columns/column"))
    aliases = [column.alias for column in columns]
    problems += [f"{where}: the alias {a} occurs twice" for a in sorted({a for a in aliases if aliases.count(a) > 1})]
    core = element.get("coreTable", "").lower()
    if not core and any("." not in alias for alias in aliases):
        problems.append(f"{where}: coreTable is missing, which an alias of one part needs")
    arguments = tuple(_argument(where, entry, package) for entry in element.findall("args/arg"))
    sql = (element.findtext("sql") or "").strip()
    flattened = element.get("flattened", "false") == "true"
    text = " ".join((element.findtext("description") or "").split())
    package.queries[name] = Query(name, core, flattened, arguments, columns, sql, text)


def _column(where: str, entry: ElementTree.Element, package: Package) -> OutputColumn:
    source, alias = entry.get("column", ""), (entry.text or "").strip()
    table, _, name = source.lower().partition(".")
    if not table or not name:
        package.problems.append(f"{where}: the column {source!r} is not TABLE.FIELD")
    if not _ALIAS.fullmatch(alias or source):
        package.problems.append(f"{where}: the alias {alias!r} may have only letters, digits, _ and one point")
    return OutputColumn(table, name, (alias or source).lower())


def _argument(where: str, entry: ElementTree.Element, package: Package) -> Argument:
    name, kind = entry.get("name", ""), entry.get("type", "primitive")
    if not name.isidentifier():
        package.problems.append(f"{where}: the argument {name!r} is no legal identifier")
    if kind not in ("primitive", "array"):
        package.problems.append(f"{where}: the type of the argument {name} must be primitive or array")
    required = entry.get("required", "false") == "true"
    return Argument(name, kind == "array", required, entry.get("default"), entry.get("casing", "none"))
