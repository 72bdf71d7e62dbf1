"""The plugin PowerSchool installs: valid by the published rules, plugin.xml at the root of the zip."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import msgspec
import pytest

from sds_daemon.errors import ConfigurationError
from sds_daemon.roster.records import SchoolYear
from sds_daemon.sources.powerschool import plugin, queries
from sds_daemon.sources.powerschool.bulk import _call
from sds_daemon.sources.powerschool.grants import columns_needed
from sds_daemon.sources.powerschool.queries import ALL, PREFIX, SECTIONS, Range

FOLDER = plugin.plugin_folder() / "queries_root"
QUERIES = {
    query.get("name", "").rpartition(".")[2]: query
    for path in sorted(FOLDER.iterdir())
    for query in ElementTree.parse(path).getroot()
}
RECORDS: dict[str, type[msgspec.Struct]] = {
    "schools": queries.SchoolRecord,
    "terms": queries.TermRecord,
    "courses": queries.CourseRecord,
    "sections": queries.SectionRecord,
    "section_teachers": queries.SectionTeacherRecord,
    "staff": queries.StaffRecord,
    "students": queries.StudentRecord,
    "enrollments": queries.EnrollmentRecord,
}
NAMESPACE = "{http://plugin.powerschool.pearson.com}"


@pytest.fixture
def manifest() -> ElementTree.Element:
    return ElementTree.parse(plugin.plugin_folder() / "plugin.xml").getroot()


def test_the_manifest_keeps_the_rules(manifest: ElementTree.Element) -> None:
    assert manifest.tag == f"{NAMESPACE}plugin"
    assert 1 <= len(manifest.get("name", "")) <= 40
    assert 1 <= len(manifest.get("version", "")) <= 20
    assert len(manifest.get("description", "")) <= 256
    tags = [child.tag for child in manifest]
    assert len(tags) == len(set(tags))
    assert set(tags) <= {f"{NAMESPACE}{name}" for name in ("oauth", "access_request", "links", "publisher")}


def columns_of(query: ElementTree.Element) -> set[str]:
    """TABLE.COLUMN for everything a query shows, is asked with, or mentions in its SQL."""
    sql = query.findtext("sql") or ""
    tables = {alias or table: table for table, alias in re.findall(r"(?:FROM|JOIN)\s+(\w+)(?: +(?!ON\b)(\w+))?", sql)}
    mentioned = {f"{tables[alias]}.{column}" for alias, column in re.findall(r"\b(\w+)\.(\w+)", sql) if alias in tables}
    named = {each.get("column", "") for tag in ("column", "arg") for each in query.iter(tag)}
    return {column.upper() for column in mentioned | named}


def test_the_manifest_asks_for_credentials_and_v1_reading_and_no_more(manifest: ElementTree.Element) -> None:
    oauth = manifest.find(f"{NAMESPACE}oauth")
    assert oauth is not None
    assert oauth.attrib == {"accessLevelV1Api": "READ"}
    assert not [field for field in manifest.iter(f"{NAMESPACE}field") if field.get("access") != "ViewOnly"]


def test_every_grant_is_for_looking_and_is_there_once(manifest: ElementTree.Element) -> None:
    fields = [(field.get("table"), field.get("field")) for field in manifest.iter(f"{NAMESPACE}field")]
    assert fields and len(fields) == len(set(fields))
    assert all(len(table or "") <= 30 and len(field or "") <= 30 for table, field in fields)


def test_every_column_of_every_query_is_granted_and_every_grant_is_used(manifest: ElementTree.Element) -> None:
    """One grant too few forbids a query; one for a column that a server does not have, the whole plugin."""
    granted = {f"{field.get('table')}.{field.get('field')}" for field in manifest.iter(f"{NAMESPACE}field")}
    used = {column for query in QUERIES.values() for column in columns_of(query)}
    assert granted == used


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_keeps_the_rules(name: str) -> None:
    query = QUERIES[name]
    full, core = query.get("name", ""), query.get("coreTable", "")
    assert full == f"{PREFIX}{name}" and len(full.split(".")) == 5 and not full.startswith("com.powerschool")
    assert query.get("flattened") == "true"
    columns = [(column.get("column", ""), column.text or "") for column in query.iter("column")]
    aliases = [alias for _, alias in columns]
    assert aliases[0] == "id" and len(aliases) == len(set(aliases))
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", alias) for alias in aliases)
    assert core.upper() in {column.partition(".")[0].upper() for column, _ in columns}
    assert aliases == list(RECORDS[name].__struct_fields__)


@pytest.mark.parametrize("name", QUERIES)
def test_every_column_of_a_result_has_a_name_of_its_own(name: str) -> None:
    """A statement is counted and cut into pages inside another one, which takes no name twice (ORA-00918)."""
    head = re.split(r"\n\s*FROM\b", QUERIES[name].findtext("sql") or "")[0]
    columns = re.sub(r"\([^()]*\)", "()", head.replace("SELECT", "", 1)).split(",")
    names = [re.split(r"[\s.]", column.strip())[-1].lower() for column in columns]
    assert all(re.fullmatch(r"\w{1,30}", each) for each in names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", QUERIES)
def test_the_sql_is_oracles(name: str) -> None:
    """As many columns as declared, a total order, declared arguments, dates as text, no AS before a table's alias."""
    query = QUERIES[name]
    sql = query.findtext("sql") or ""
    head = sql.split("\nFROM", 1)[0] if "\nFROM" in sql else re.split(r"\n\s*FROM\b", sql)[0]
    selected = re.sub(r"\([^()]*\)", "", head.replace("SELECT", "", 1)).split(",")
    assert len(selected) == len(list(query.iter("column")))
    order = sql.rpartition("ORDER BY")[2].strip()
    assert re.fullmatch(r"\w+\.(dcid|id)(, \w+\.dcid)?", order)
    assert set(re.findall(r":(\w+)", sql)) == {arg.get("name") for arg in query.iter("arg")}
    assert not re.search(r"\b(?:FROM|JOIN)\s+\w+\s+AS\b", sql, re.IGNORECASE)
    assert not re.search(r"\bLIMIT\b|`|==|;", sql)
    for column in ("firstday", "lastday", "start_date", "end_date", "dob", "dateenrolled", "dateleft"):
        assert all(text.endswith("TO_CHAR(") for text in re.findall(rf"(\S*?)\w+\.{column}\b", head))


def test_the_files_are_flat_without_a_namespace_and_in_the_zip(tmp_path: Path) -> None:
    archive = tmp_path / "plugin.zip"
    plugin.build_zip(archive)
    with zipfile.ZipFile(archive) as package:
        names = {name for name in package.namelist() if name.startswith("queries_root/")}
        texts = {name: package.read(name).decode() for name in names}
    assert names == {f"queries_root/sds_daemon_{name}.named_queries.xml" for name in QUERIES}
    assert all(text.startswith("<queries>\n") for text in texts.values())
    assert set(QUERIES) == {query.name for query in ALL}


def test_the_reader_asks_with_the_arguments_a_query_declares() -> None:
    for query in ALL:
        asked = _call(query, Range(1, 2), SchoolYear(2026), (2025, 2026)).arguments
        assert set(asked) == {arg.get("name") for arg in QUERIES[query.name].iter("arg")}
    assert _call(SECTIONS, Range(101, 109), SchoolYear(2026), ()).arguments == {
        "first_school": 101,
        "last_school": 109,
        "first_term": 3600,
        "last_term": 3699,
    }


def test_the_columns_to_ask_for_are_those_of_the_manifest(manifest: ElementTree.Element) -> None:
    needed = columns_needed()
    fields = [(field.get("table"), field.get("field")) for field in manifest.iter(f"{NAMESPACE}field")]
    assert [(table, column) for table in needed for column in needed[table]] == fields
    assert "DATELEFT" in needed["CC"]


def test_the_publisher_can_be_written_to(manifest: ElementTree.Element) -> None:
    publisher = manifest.find(f"{NAMESPACE}publisher")
    assert publisher is not None
    assert 1 <= len(publisher.get("name", "")) <= 100
    contact = publisher.find(f"{NAMESPACE}contact")
    assert contact is not None
    assert 1 <= len(contact.get("email", "")) <= 40


def test_the_zip_has_the_manifest_at_its_root_and_is_always_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    plugin.build_zip(first)
    plugin.build_zip(second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as package:
        assert package.testzip() is None
        assert "plugin.xml" in package.namelist()
        assert not [name for name in package.namelist() if name.startswith((".", "/", "plugin/"))]
        assert package.read("plugin.xml") == (plugin.plugin_folder() / "plugin.xml").read_bytes()


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        plugin.build_zip(tmp_path / "no" / "folder.zip")


def test_a_damaged_installation_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sds_daemon.__file__", str(tmp_path / "x" / "__init__.py"))
    with pytest.raises(ConfigurationError, match=r"plugin\.xml is missing"):
        plugin.build_zip(tmp_path / "a.zip")
