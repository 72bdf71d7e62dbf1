"""Plugin packages for the PowerSchool sandbox, written for one test."""

from __future__ import annotations

from pathlib import Path

from sds_daemon.sandbox.powerschool.package import NAMESPACE

QUERY = "org.example.test.roster.enrollments"
FIELDS = ("cc.dcid", "cc.studentid", "cc.sectionid", "cc.dateenrolled", "sections.id", "sections.dcid")
SQL = """
    SELECT cc.dcid, s.dcid, TO_CHAR(cc.dateenrolled, 'YYYY-MM-DD')
    FROM cc JOIN sections s ON s.id = ABS(cc.sectionid)
    ORDER BY cc.dcid
"""
COLUMNS = (("CC.DCID", "id"), ("SECTIONS.DCID", "section"), ("CC.DATEENROLLED", "entry"))


def plugin_xml(
    fields: tuple[str, ...] = FIELDS,
    *,
    level: str = "READ",
    name: str = "test",
    version: str = "1.0",
    access: str = "ViewOnly",
) -> str:
    """A `plugin.xml` that asks for these fields ("table.field")."""
    rows = "".join(
        f'<field table="{table}" field="{field}" access="{access}"/>'
        for table, _, field in (entry.partition(".") for entry in fields)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
    <plugin xmlns="{NAMESPACE}" name="{name}" version="{version}" description="A test">
      <oauth accessLevelV1Api="{level}"/><access_request>{rows}</access_request>
      <publisher name="test"><contact email="test@example.org"/></publisher>
    </plugin>"""


def query_xml(
    sql: str = SQL,
    columns: tuple[tuple[str, str], ...] = COLUMNS,
    *,
    name: str = QUERY,
    core: str = "cc",
    args: str = "",
    flattened: bool = True,
    more: str = "",
) -> str:
    """A file with one query; `args` and `more` are XML to be put in."""
    core_table = f'coreTable="{core}"' if core else ""
    shown = "".join(f'<column column="{source}">{alias}</column>' for source, alias in columns)
    return f"""<queries><query name="{name}" {core_table} flattened="{str(flattened).lower()}">
      <description>A test</description>{more}<args>{args}</args><columns>{shown}</columns>
      <sql><![CDATA[{sql}]]></sql></query></queries>"""


def files(query: str | None = None, plugin: str | None = None, **more: str) -> dict[str, str]:
    """A whole package: path inside it to text."""
    named = {f"queries_root/{name}.named_queries.xml": text for name, text in more.items()}
    own = {"queries_root/test.named_queries.xml": query_xml() if query is None else query}
    return {"plugin.xml": plugin or plugin_xml(), **own, **named}


def written(folder: Path, package: dict[str, str]) -> Path:
    """The package as a folder on disk."""
    for name, text in package.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
