"""`/ws/schema`: counts of tables, and the answers by which a client finds out which columns it may read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, Final

from sds_daemon.sandbox.asgi import Request, Response, json_response
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.powerschool.settings import Settings

_TABLE_PATH: Final = re.compile(r"table/(?P<table>\w+)(?P<count>/count)?")
COLUMNS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "schools": ("Schools", ("dcid", "id", "school_number", "name", "low_grade", "high_grade")),
    "terms": (
        "Terms",
        ("dcid", "id", "schoolid", "yearid", "firstday", "lastday", "portion", "isyearrec", "abbreviation", "name"),
    ),
    "courses": ("Courses", ("dcid", "id", "course_number", "course_name", "schoolid")),
    "sections": (
        "Sections",
        (
            "dcid", "id", "schoolid", "termid", "course_number", "section_number", "expression", "external_expression",
            "teacher", "room",
        ),
    ),
    "students": (
        "Students",
        (
            "dcid", "id", "student_number", "state_studentnumber", "first_name", "middle_name", "last_name",
            "grade_level", "schoolid", "enroll_status", "entrydate", "exitdate", "student_web_id", "person_id",
        ),
    ),
    "users": (
        "Users",
        (
            "dcid", "teachernumber", "first_name", "middle_name", "last_name", "email_addr", "loginid",
            "teacherloginid", "homeschoolid", "ptaccess",
        ),
    ),
    "schoolstaff": ("SchoolStaff", ("dcid", "id", "users_dcid", "schoolid", "status", "staffstatus")),
    "sectionteacher": ("SectionTeacher", ("id", "sectionid", "teacherid", "roleid", "start_date", "end_date")),
    "cc": ("CC", ("dcid", "id", "studentid", "sectionid", "schoolid", "termid", "dateenrolled", "dateleft")),
    "roledef": ("RoleDef", ("id", "name")),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class _Probe:
    table: str
    columns: tuple[str, ...]


def answer(request: Request, path: str, district: District, settings: Settings) -> Response:
    """The answer to a request below `/ws/schema/`."""
    match = _TABLE_PATH.fullmatch(path)
    if match is None:
        return _message(404, "Resource not found")
    table = match["table"].lower()
    if table == "teachers":
        return _message(405, "GET, POST and PUT are not allowed on table teachers")
    if table not in COLUMNS:
        return _message(404, "Resource not found")
    if request.method != "GET":
        return _message(405, f"{request.method} is not allowed on table {table}")
    probe = _Probe(table, tuple(_projection(request)))
    filtered = [term.split("=")[0].rsplit(".", 1)[-1] for term in request.params().get("q", "").split(";") if term]
    refusal = _refusal(_Probe(table, (*probe.columns, *filtered)), settings)
    if refusal is not None:
        return refusal
    if match["count"] and not filtered:
        return json_response({"count": _rows(district, table)})
    return _message(400, "The sandbox answers counts and projections of tables, not their rows")


def _projection(request: Request) -> Iterable[str]:
    text = request.params().get("projection", "")
    return (part.strip().lower().rsplit(".", 1)[-1] for part in text.split(",") if part.strip())


def _refusal(probe: _Probe, settings: Settings) -> Response | None:
    """400 for a column the table has not (checked first), 403 for one that was not granted."""
    name, columns = COLUMNS[probe.table]
    for column in probe.columns:
        if column not in columns and column != "*":
            return _message(400, f"Invalid field specified: {column} is not valid column for table: {name}")
    granted = {grant.lower() for grant in settings.grants}
    wanted = columns if "*" in probe.columns else probe.columns
    errors = [
        {"code": "NoAccess", "field": column, "resource": name}
        for column in wanted
        if f"{probe.table}.{column}" not in granted
    ]
    if not errors:
        return None
    return json_response({"message": "At least one column lacks sufficient permission", "errors": errors}, 403)


def _rows(district: District, table: str) -> int:
    if table == "cc":
        return len(district.enrollments)
    if table == "roledef":
        return 2
    names = {"schoolstaff": "staff", "sectionteacher": "section_teachers"}
    rows: dict[int, Any] = district.table(names.get(table, table))
    return len(rows)


def _message(status: int, text: str) -> Response:
    return json_response({"message": text}, status)
