"""The tables behind PowerQueries: after any change they are what they would be if they were filled anew."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from powerschool_rig import TODAY

from sds_daemon.sandbox.district import changes, model
from sds_daemon.sandbox.district.generate import generate
from sds_daemon.sandbox.district.school_day import school_day
from sds_daemon.sandbox.powerschool.database import Database, translate
from sds_daemon.sandbox.powerschool.tables import TABLES

NOW = dt.datetime.combine(TODAY, dt.time(9))


def all_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for name, table in TABLES.items():
        statement = translate(
            f"SELECT {', '.join(f't.{c}' for c in table.columns)} FROM {name} t ORDER BY t.{table.key}"
        )
        database.refresh(database.describe(statement))
        found[name] = list(database.rows(statement.text({}), {}))
    return found


def version(database: Database, sql: str) -> tuple[int, ...]:
    return database.refresh(database.describe(translate(sql)))


@pytest.fixture
def district() -> model.District:
    return generate(students=90, seed=5, today=TODAY)


def operations(district: model.District) -> list[dict[str, Any]]:
    section = next(s for s in district.sections.values() if s.staff and district.terms[s.term].first_day <= TODAY)
    course = section.course
    staff = [row for row in district.staff.values() if row.school == section.school and row.dcid != section.staff]
    student = district.enrollments.student[district.enrollments.of_section(section.dcid)[0]]
    teacher = staff[0].user
    return [
        *school_day(district, TODAY),
        {"op": "update_course", "course": course, "number": "NEW1"},
        {"op": "add_co_teacher", "section": section.dcid, "teacher": teacher},
        {"op": "remove_co_teacher", "section": section.dcid, "teacher": teacher},
        {"op": "assign_teacher", "section": section.dcid, "teacher": teacher},
        {"op": "unassign_teacher", "section": section.dcid},
        {"op": "update_section", "section": section.dcid, "room": "7"},
        {"op": "update_student", "student": student, "email": "new4@contoso.edu", "number": "994"},
        {"op": "update_student", "student": student, "email": ""},
        {"op": "hire", "first_name": "Ada", "last_name": "New", "school": section.school},
        {"op": "leave", "teacher": teacher},
        {"op": "delete_student", "student": student},
        {"op": "delete_section", "section": section.dcid},
    ]


def test_after_every_change_the_tables_are_as_if_filled_anew(district: model.District) -> None:
    kept = Database(district, lambda: NOW)
    before = all_rows(kept)
    for operation in operations(district):
        changes.apply(district, [operation], TODAY)
        now = all_rows(kept)
        assert now == all_rows(Database(district, lambda: NOW)), operation["op"]
        assert now != before, operation["op"]
        before = now


def test_a_change_that_was_taken_back_leaves_no_trace(district: model.District) -> None:
    kept = Database(district, lambda: NOW)
    before = all_rows(kept)
    student = next(iter(district.students))
    with pytest.raises(changes.ChangeError):
        changes.apply(district, [{"op": "delete_student", "student": student}, {"op": "nonsense"}], TODAY)
    assert all_rows(kept) == before


def test_a_new_school_reaches_every_table(district: model.District) -> None:
    kept = Database(district, lambda: NOW)
    all_rows(kept)
    school = next(s for s in district.schools.values() if s.number == 101)
    district.assign(school, "number", 555)
    rows = all_rows(kept)
    assert rows == all_rows(Database(district, lambda: NOW))
    place = list(TABLES["cc"].columns).index("schoolid")
    assert {row[place] for row in rows["cc"]} == {555}


def test_only_what_a_statement_reads_counts_as_a_change_of_it(district: model.District) -> None:
    kept = Database(district, lambda: NOW)
    names, ids = "SELECT last_name FROM students", "SELECT s.dcid FROM students s JOIN cc ON cc.studentid = s.id"
    before = version(kept, names), version(kept, ids)
    student = next(iter(district.students))
    changes.apply(district, [{"op": "update_student", "student": student, "last_name": "Renamed"}], TODAY)
    assert version(kept, names) != before[0] and version(kept, ids) == before[1]
    changes.apply(district, [{"op": "delete_student", "student": student}], TODAY)
    assert version(kept, ids) != before[1]
    after = version(kept, "SELECT COUNT(*) FROM students")
    changes.apply(district, [{"op": "add_student", "school": 3, "first_name": "A", "last_name": "B"}], TODAY)
    assert version(kept, "SELECT COUNT(*) FROM students") != after


def test_some_students_have_an_old_address_before_the_one_that_counts(district: model.District) -> None:
    database = Database(district, lambda: NOW)
    sql = """SELECT s.dcid, pa.isprimaryemailaddress, ea.emailaddress FROM students s
        JOIN personemailaddressassoc pa ON pa.personid = s.person_id
        JOIN emailaddress ea ON ea.emailaddressid = pa.emailaddressid ORDER BY pa.personemailaddressassocid"""
    statement = translate(sql)
    database.refresh(database.describe(statement))
    rows = list(database.rows(statement.text({}), {}))
    primary = {dcid: address for dcid, first, address in rows if first == 1}
    assert primary == {dcid: s.email for dcid, s in district.students.items() if s.email}
    old = [(dcid, address) for dcid, first, address in rows if first == 0]
    assert old and all(address == f"old.{primary[dcid]}" for dcid, address in old)


def test_dropped_classes_have_a_negative_section(district: model.District) -> None:
    rows = all_rows(Database(district, lambda: NOW))["cc"]
    columns = list(TABLES["cc"].columns)
    dropped = {row[columns.index("dcid")] for row in rows if row[columns.index("sectionid")] < 0}
    table = district.enrollments
    assert dropped == {row + 5001 for row in table.rows() if table.state[row] == model.DROPPED} and dropped
