"""A plugin is enabled or refused as PowerSchool does it, and a refused one takes the server's access away."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from plugin_files import FIELDS, QUERY, SQL, files, plugin_xml, query_xml, written
from powerschool_rig import running

from sds_daemon.sandbox.powerschool.package import default_folder, read

TWO = (("CC.DCID", "id"), ("SECTIONS.DCID", "section"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "plugin", files())


async def test_a_folder_and_a_zip_are_the_same_package(tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "plugin.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in folder.rglob("*.xml"):
            packed.write(path, path.relative_to(folder).as_posix())
    assert read(archive) == read(folder)
    async with running(plugin=archive) as rig:
        assert (await rig.query(QUERY)).status_code == 200


def test_something_that_is_no_package_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plugin.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="neither a folder nor"):
        read(tmp_path / "plugin.zip")


def test_the_programs_own_plugin_is_found() -> None:
    found = default_folder()
    assert found is not None
    assert read(found).problems == []


async def test_an_enabled_plugin_is_shown_with_what_it_brought(folder: Path) -> None:
    async with running(plugin=folder) as rig:
        status, shown = await rig.sandbox.admin("GET", "/_sandbox/powerschool/plugin", {}, None)
        assert status == 200
        assert shown == {
            "enabled": True, "name": "test", "version": "1.0", "v1_access": "READ", "grants": sorted(FIELDS),
            "queries": [QUERY], "problems": [],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (files(plugin=plugin_xml((*FIELDS, "students.email"))), "the field students.email does not exist"),
        (files(plugin=plugin_xml((*FIELDS, "sectionmeeting.id"))), "the field sectionmeeting.id does not exist"),
        (files(plugin=plugin_xml((*FIELDS, "users.id"))), "the field users.id does not exist"),
        (files(plugin=plugin_xml(access="Read")), "must be ViewOnly or FullAccess"),
        (files(plugin=plugin_xml(level="SOME")), "accessLevelV1Api must be one of"),
        (files(plugin=plugin_xml(name="x" * 41)), "name must have 1 to 40"),
        (files(plugin="<plugin/>"), "Cannot find the declaration of element 'plugin'"),
        (files(plugin=plugin_xml().replace("<publisher", "<x").replace("</publisher", "</x")), "publisher is missing"),
        ({"sds/plugin.xml": plugin_xml()}, "plugin.xml is not at the root"),
        (files(query_xml().replace("<queries>", '<queries xmlns="http://plugin.powerschool.pearson.com">')),
         "Cannot find the declaration of element 'queries'"),
        (files(query_xml(columns=TWO)), "the SQL gives 3 columns, 2 are declared"),
        (files(query_xml(columns=(*TWO, ("CC.DATEENROLLED", "id")))), "the alias id occurs twice"),
        (files(query_xml(columns=(*TWO, ("CC.DATEENROLLED", "first day")))), "may have only letters"),
        (files(query_xml(columns=(*TWO, ("CC.NOTHING", "entry")))), "the field cc.nothing does not exist"),
        (files(query_xml(columns=(*TWO, ("TEACHERS.ID", "entry")))), "the field teachers.id does not exist"),
        (files(query_xml(name="com.powerschool.test")), "com.powerschool are reserved"),
        (files(query_xml(name="test")), "must be dotted parts"),
        (files(query_xml(core="teachers")), "coreTable teachers is no table"),
        (files(query_xml(core="")), "coreTable is missing"),
        (files(query_xml(more="<summary>x</summary>")), "starting with element 'summary'"),
        (files(other=query_xml()), "taken by another query"),
        ({**files(), "queries_root/more/a.named_queries.xml": query_xml()}, "cannot have sub-folders"),
        ({**files(), "queries_root/a.xml": query_xml(name="a.b")}, "must end in .named_queries.xml"),
        (files(query_xml("SELECT dcid, dcid, nothing FROM cc")), 'ORA-00904: "NOTHING"'),
        (files(query_xml("SELECT dcid, dcid, dcid FROM classes")), "ORA-00942"),
        (files(query_xml("DELETE FROM cc")), "ORA-00900"),
    ],
)  # fmt: skip
async def test_a_faulty_plugin_is_refused_and_the_one_before_is_gone(
    package: dict[str, str], reason: str, folder: Path
) -> None:
    async with running(plugin=folder) as rig:
        await rig.fetch_token()
        assert (await rig.query(QUERY)).status_code == 200
        renamed = {name: text.replace('version="1.0"', 'version="1.1"', 2) for name, text in package.items()}
        status, shown = await rig.plugin({"files": renamed})
        assert status == 200 and not shown["enabled"] and shown["queries"] == []
        assert any(reason in problem for problem in shown["problems"]), shown["problems"]
        assert (await rig.query(QUERY)).status_code == 401
        assert (await rig.get("/ws/v1/district/school")).status_code == 401
        status, answer = await rig.plugin({"enabled": True})
        assert status == 400 and reason in answer["error"]


async def test_a_repaired_plugin_is_enabled_again(folder: Path) -> None:
    async with running(plugin=folder) as rig:
        await rig.plugin({"files": files(query_xml(columns=TWO), plugin_xml(version="1.1"))})
        _, shown = await rig.plugin({"files": files(plugin=plugin_xml(version="1.2"))})
        assert shown["enabled"] and shown["queries"] == [QUERY]
        assert (await rig.query(QUERY)).status_code == 200


async def test_a_version_that_is_installed_already_is_refused(folder: Path) -> None:
    async with running(plugin=folder) as rig:
        _, shown = await rig.plugin({"files": files()})
        assert not shown["enabled"] and "installed already" in shown["problems"][0]


async def test_the_v1_level_comes_with_the_plugin_until_somebody_sets_it(folder: Path) -> None:
    async with running(plugin=folder) as rig:
        assert (await rig.get("/ws/v1/district/school")).status_code == 200
        await rig.plugin({"files": files(plugin=plugin_xml(level="NONE", version="2"))})
        assert (await rig.get("/ws/v1/district/school")).status_code == 401
        await rig.set(v1_access="READ")
        assert (await rig.get("/ws/v1/district/school")).status_code == 200


async def test_a_server_without_a_column_cannot_enable_a_plugin_that_asks_for_it(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be enabled: plugin\.xml: the field cc\.dcid does not exist"):
        async with running(plugin=folder, missing_columns=["CC.DCID"]):
            pass


async def test_a_query_that_reads_a_missing_column_cannot_be_enabled_either() -> None:
    fields = tuple(field for field in FIELDS if field != "sections.id")
    async with running(missing_columns=["sections.id"]) as rig:
        _, shown = await rig.plugin({"files": files(plugin=plugin_xml(fields))})
        assert any('ORA-00904: "SECTIONS.ID"' in problem for problem in shown["problems"])


async def test_an_undeclared_variable_installs_and_every_call_is_404(tmp_path: Path) -> None:
    sql = SQL.replace("ORDER BY", "WHERE s.dcid = :section ORDER BY")
    declared = query_xml(sql, args='<arg name="section" required="true"/>')
    async with running(plugin=written(tmp_path / "a", files(query_xml(sql)))) as rig:
        assert rig.sandbox.settings.plugin_enabled
        assert (await rig.query(QUERY, {"section": 1501})).status_code == 404
    async with running(plugin=written(tmp_path / "b", files(declared))) as rig:
        assert (await rig.query(QUERY, {"section": 1501})).status_code == 200


async def test_the_server_validates_the_plugin_and_lists_its_queries(folder: Path) -> None:
    async with running(plugin=folder) as rig:
        assert await rig.json("/ws/schema/plugin/42/validate") == {"results": [], "maxLevel": "NONE"}
        catalogue: dict[str, Any] = await rig.json("/ws/schema/query/api")
        assert list(catalogue["paths"]) == [f"/ws/schema/query/{QUERY}"]


async def test_a_plugin_without_queries_opens_tables_only() -> None:
    async with running() as rig:
        await rig.plugin({"files": {"plugin.xml": plugin_xml(("students.dcid",))}})
        row = (await rig.json("/ws/schema/table/students", projection="dcid", pagesize=1))["record"][0]
        assert row["tables"]["students"]["dcid"] == str(min(rig.district.students))
        assert (await rig.get("/ws/schema/table/students", projection="last_name")).status_code == 403
        assert (await rig.query(QUERY)).status_code == 404
