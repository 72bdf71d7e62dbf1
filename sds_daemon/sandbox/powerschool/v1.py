"""`/ws/v1`: which rows each path shows, in which order, page by page."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sds_daemon.sandbox.asgi import Request, Response
from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.powerschool import query, records, reply
from sds_daemon.sandbox.powerschool.reply import V1Error
from sds_daemon.sandbox.powerschool.settings import RESOURCES, Settings
from sds_daemon.sandbox.sis_calendar import Calendar

_BIRTH: Final = dt.datetime(2026, 1, 5, 3, 0, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Resource:
    """How one kind of record is listed: container and item element, its maker, what the server says is available."""

    root: str
    item: str
    build: records.Builder
    expansions: str | None = None
    extensions: str | None = None

    def attributes(self) -> dict[str, str]:
        """The `@` members; they name what could be asked for, not what was."""
        named = {"@expansions": self.expansions, "@extensions": self.extensions}
        return {key: value for key, value in named.items() if value is not None}


KINDS: Final[dict[str, Resource]] = {
    "school": Resource(
        "schools", "school", records.school, records.SCHOOL_EXPANSIONS, "s_sch_crdc_x"
    ),
    "course": Resource("courses", "course", records.course, None, "s_crs_crdc_x"),
    "section": Resource("sections", "section", records.section, "term", "s_sec_x"),
    "section_enrollment": Resource(
        "section_enrollments", "section_enrollment", records.enrollment, None, "s_cc_x,s_cc_edfi_x"
    ),
    "term": Resource("terms", "term", records.term),
    "staff": Resource("staffs", "staff", records.staff, records.STAFF_EXPANSIONS, "u_staff_x,s_usr_x"),
    "student": Resource("students", "student", records.student, records.STUDENT_EXPANSIONS, "s_stu_crdc_x,u_stu_x"),
}  # fmt: skip

_STUDENT_KEYS: Final[dict[str, query.Getter]] = {
    "id": lambda row: row.dcid,
    "local_id": lambda row: row.number,
    "state_province_id": lambda row: row.state_number,
    "student_username": lambda row: row.username,
    "name.last_name": lambda row: row.last_name,
    "name.first_name": lambda row: row.first_name,
    "school_enrollment.enroll_status": records.status_letter,
    "school_enrollment.enroll_status_code": lambda row: row.enroll_status,
    "school_enrollment.entry_date": lambda row: row.entry_date.isoformat(),
}
_STATUS_KEYS: Final = ("school_enrollment.enroll_status", "school_enrollment.enroll_status_code")
_ORDERS: Final[dict[str, Callable[[Any], Any]]] = {
    "name": lambda row: (row.last_name.lower(), row.first_name.lower(), row.dcid),
    "id": lambda row: row.dcid,
}


class V1:
    """Answers GET requests below `/ws/v1` from the tables; raises V1Error."""

    def __init__(self, district: District, calendar: Calendar) -> None:
        self.district = district
        self.calendar = calendar
        self._started = calendar.now()
        number = r"(?P<id>-?\d+)"
        count = r"(?P<count>/count)?"
        self._routes: list[tuple[re.Pattern[str], Callable[[Request, re.Match[str], Settings], Response]]] = [
            (re.compile("district"), self._district),
            (re.compile(f"(?:district/)?school{count}"), self._schools),
            (re.compile(f"district/student{count}"), self._all_students),
            (re.compile(f"school/{number}/(?P<kind>course|section|term|staff|student){count}"), self._of_school),
            (re.compile(f"section/{number}/section_enrollment{count}"), self._of_section),
            (re.compile(f"(?P<kind>{'|'.join(RESOURCES)})/{number}"), self._single),
        ]

    def answer(self, request: Request, path: str, settings: Settings) -> Response:
        """The answer to GET `/ws/v1/` + `path`."""
        for pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                return handler(request, match, settings)
        raise V1Error(404, "The requested resource was not found")

    def metadata(self, request: Request, settings: Settings) -> Response:
        """Open to everybody, whatever the plugin may read."""
        now = self.calendar.now()
        sizes = {f"{name}_max_page_size": size for name, size in settings.page_sizes.items()}
        value = {
            "plugin_id": 42,
            "powerschool_version": settings.version,
            "state": "WA",
            "state_reporting_version": "25.7.1.0",
            "mobile_api_version": "4",
            "machine_uptime": int((now - _BIRTH).total_seconds()),
            "powerschool_uptime": int((now - self._started).total_seconds()),
            "district_timezone": self.district.timezone,
            "district_uuid": self.district.uuid,
            **{f"sso_enabled_{who}": "false" for who in ("admin", "guardian", "student", "teacher")},
            **sizes,
            "schema_table_query_max_page_size": settings.table_page_size,
        }
        return reply.tree(request, "metadata", value)

    def time(self, request: Request) -> Response:
        """The server's clock; needs no token."""
        now = self.calendar.now()
        local = now.astimezone(self.calendar.zone).strftime("%Y-%m-%d %H:%M:%S")
        return reply.tree(request, "resource", {"time": local, "timestamp": int(now.timestamp())})

    # Paths

    def _district(self, request: Request, _match: re.Match[str], _settings: Settings) -> Response:
        wanted = _wanted(request)
        return reply.tree(request, "district", records.district_record(self.district, wanted))

    def _schools(self, request: Request, match: re.Match[str], settings: Settings) -> Response:
        rows = sorted(self.district.schools.values(), key=lambda row: (row.name, row.dcid))
        if settings.special_schools == "hide":
            rows = [row for row in rows if row.number not in (model.DISTRICT_OFFICE, model.GRADUATED)]
        if match["count"]:
            rows = [row for row in rows if row.number != model.GRADUATED]
        return self._listing(request, match, settings, "school", rows)

    def _all_students(self, request: Request, match: re.Match[str], settings: Settings) -> Response:
        conditions = _conditions(request)
        test = query.predicate(conditions, _STUDENT_KEYS)

        def build() -> list[model.Student]:
            return sorted(filter(test, self.district.students.values()), key=_ORDERS[settings.student_order])

        rows = self.district.derived(("students", tuple(conditions), settings.student_order), build)
        return self._listing(request, match, settings, "student", rows)

    def _of_school(self, request: Request, match: re.Match[str], settings: Settings) -> Response:
        school, kind = int(match["id"]), match["kind"]
        if school not in self.district.schools:
            raise V1Error(404, f"School with id {school} was not found")
        conditions = _conditions(request)
        today = self.calendar.today()
        select = {
            "course": self._courses,
            "section": self._sections,
            "term": self._terms,
            "staff": self._staff,
            "student": self._students,
        }[kind]
        key = (kind, school, tuple(conditions), today, settings.student_order)
        rows = self.district.derived(key, lambda: select(school, conditions, today, settings))
        return self._listing(request, match, settings, kind, rows)

    def _of_section(self, request: Request, match: re.Match[str], settings: Settings) -> Response:
        section = int(match["id"])
        if section not in self.district.sections:
            raise V1Error(404, f"Section with id {section} was not found")
        table = self.district.enrollments
        order = sorted(table.of_section(section), key=lambda row: (table.student[row], table.entry[row], row))
        return self._listing(request, match, settings, "section_enrollment", order, table.view)

    def _single(self, request: Request, match: re.Match[str], _settings: Settings) -> Response:
        kind, dcid = match["kind"], int(match["id"])
        row = self._find(kind, dcid)
        if row is None:
            raise V1Error(404, f"{kind} with id {dcid} was not found")
        resource = KINDS[kind]
        value = {**resource.attributes(), **resource.build(row, self.district, _wanted(request))}
        return reply.tree(request, resource.item, value)

    def _find(self, kind: str, dcid: int) -> Any:
        if kind == "section_enrollment":
            position = self.district.enrollments.position(dcid)
            return None if position is None else self.district.enrollments.view(position)
        return self.district.table(kind if kind == "staff" else f"{kind}s").get(dcid)

    # Rows of one school

    def _courses(self, school: int, conditions: Conditions, today: dt.date, _settings: Settings) -> list[Any]:
        _none_allowed(conditions)
        year = self.district.current_year(school, today)
        taught = {s.course: False for s in self.district.sections_of(school)}
        for section in self.district.sections_of(school):
            taught[section.course] |= self._start_year(section) == year
        own = (row for row in self.district.courses.values() if row.school == school and taught.get(row.dcid, True))
        return sorted(own, key=lambda row: (row.number, row.dcid))

    def _sections(self, school: int, conditions: Conditions, today: dt.date, _settings: Settings) -> list[Any]:
        rows = self.district.sections_of(school)
        if not conditions:
            year = self.district.current_year(school, today)
            return [row for row in rows if self._start_year(row) == year]
        test = query.predicate(conditions, {"term.start_year": self._start_year})
        return list(filter(test, rows))

    def _terms(self, school: int, conditions: Conditions, today: dt.date, _settings: Settings) -> list[Any]:
        rows = [row for row in self.district.terms.values() if row.school == school]
        if conditions:
            rows = list(filter(query.predicate(conditions, {"start_year": lambda row: row.start_year}), rows))
        else:
            year = self.district.current_year(school, today)
            rows = [row for row in rows if row.start_year == year]
        return sorted(rows, key=lambda row: (row.portion, row.first_day, row.dcid))

    def _staff(self, school: int, conditions: Conditions, _today: dt.date, _settings: Settings) -> list[Any]:
        _none_allowed(conditions)
        return [row for row in self.district.staff_at(school) if row.status == 1]

    def _students(self, school: int, conditions: Conditions, _today: dt.date, settings: Settings) -> list[Any]:
        test = query.predicate(conditions, _STUDENT_KEYS)
        rows = filter(test, self.district.students_of(school))
        if not any(condition.key in _STATUS_KEYS for condition in conditions):
            rows = filter(lambda row: row.enroll_status == model.ACTIVE, rows)
        return sorted(rows, key=_ORDERS[settings.student_order])

    def _start_year(self, section: model.Section) -> int | None:
        term = self.district.terms.get(section.term)
        return term.start_year if term else None

    # Pages

    def _listing(
        self,
        request: Request,
        match: re.Match[str],
        settings: Settings,
        kind: str,
        rows: Sequence[Any],
        view: Callable[[Any], Any] = lambda row: row,
    ) -> Response:
        if match["count"]:
            return reply.tree(request, "resource", {"count": len(rows)})
        start, size = _page(request, settings, kind)
        resource, wanted = KINDS[kind], _wanted(request)
        items = [resource.build(view(row), self.district, wanted) for row in rows[start : start + size]]
        return reply.tree(request, resource.root, self._container(resource, items, start))

    def _container(self, resource: Resource, items: list[records.Record], start: int) -> Any:
        """A page past the end is an empty string, an empty list a container without items: both occur."""
        if not items and start > 0:
            return ""
        return {**resource.attributes(), resource.item: items}


Conditions = list[query.Condition]


def _wanted(request: Request) -> frozenset[str]:
    return frozenset(name.strip() for name in request.params().get("expansions", "").split(","))


def _conditions(request: Request) -> Conditions:
    return query.parse(request.params().get("q", ""))


def _none_allowed(conditions: Conditions) -> None:
    query.predicate(conditions, {})


def _page(request: Request, settings: Settings, kind: str) -> tuple[int, int]:
    """First row and number of rows; the maximum is the plugin's setting and the default as well."""
    params = request.params()
    maximum = settings.page_sizes[kind]
    page, size = _positive(params, "page", 1), _positive(params, "pagesize", maximum)
    if size > maximum:
        if settings.over_max_pagesize == "error":
            raise V1Error(400, f"The pagesize {size} exceeds the maximum of {maximum}")
        size = maximum
    return (page - 1) * size, size


def _positive(params: dict[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise V1Error(400, f"Invalid value '{text}' for parameter {name}")
    return int(text)
