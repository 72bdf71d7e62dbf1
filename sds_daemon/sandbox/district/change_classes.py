"""Operations on sections, enrollments, courses and who teaches what."""

from __future__ import annotations

import datetime as dt
from typing import Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.operation import Args, ChangeError, Result, current_term, operation

_DAY: Final = dt.timedelta(days=1)
_SECTION_COLUMNS: Final = {
    "number": "text",
    "expression": "text",
    "external_expression": "text",
    "gradebook_type": "text",
    "room": "text",
}
_COURSE_COLUMNS: Final = {"number": "text", "name": "text"}


def enroll_in(args: Args, student: model.Student, section: model.Section, entry: dt.date | None = None) -> int:
    """Adds an enrollment until the end of the section's term and returns its DCID; refuses a second current one."""
    table, term = args.district.enrollments, args.district.terms[section.term]
    entry = entry or min(max(args.today, term.first_day), term.last_day)
    end = term.last_day + _DAY
    for row in table.of_student(student.dcid):
        standing = table.state[row] == model.LIVE and table.exit[row] > max(entry.toordinal(), table.entry[row])
        if standing and table.section[row] == section.dcid:
            raise ChangeError(f"{args.op}: student {student.dcid} is enrolled in section {section.dcid} already")
    return args.district.enroll(section.dcid, student.dcid, entry, end)


def end_enrollments(args: Args, student: model.Student, day: dt.date, school: int | None = None) -> list[int]:
    """Ends what the student still attends on `day` (at one school or everywhere); returns the DCIDs of the rows."""
    district = args.district
    ended = []
    for row in district.enrollments.of_student(student.dcid):
        section = district.sections[district.enrollments.section[row]]
        standing = district.enrollments.state[row] == model.LIVE and district.enrollments.exit[row] > day.toordinal()
        if standing and school in (None, section.school):
            first = dt.date.fromordinal(district.enrollments.entry[row])
            district.set_enrollment(row, exit_date=max(day, first))
            ended.append(row + district.enrollments.FIRST_DCID)
    return ended


@operation
def enroll(args: Args) -> Result:
    """student, section, [entry_date], [exit_date]."""
    student, section = args.row("students", "student"), args.row("sections", "section")
    entry = args.date("entry_date") if "entry_date" in args else None
    dcid = enroll_in(args, student, section, entry)
    if "exit_date" in args:
        row = args.district.enrollments.position(dcid)
        args.district.set_enrollment(row or 0, exit_date=args.date("exit_date"))
    return {"enrollment": dcid}


@operation
def drop(args: Args) -> Result:
    """student, section, [how] = exit | dropped | delete, [exit_date] = today."""
    student, section = args.row("students", "student"), args.row("sections", "section")
    how = args.choice("how", ("exit", "dropped", "delete"))
    day = args.date("exit_date", args.today)
    table = args.district.enrollments
    standing = [
        row
        for row in table.of_student(student.dcid)
        if table.section[row] == section.dcid and table.state[row] == model.LIVE and table.exit[row] > day.toordinal()
    ]
    if not standing:
        raise ChangeError(f"{args.op}: student {student.dcid} attends section {section.dcid} no longer on {day}")
    for row in standing:
        if how == "delete":
            args.district.set_enrollment(row, state=model.DELETED)
        else:
            state = model.DROPPED if how == "dropped" else model.LIVE
            end = max(day, dt.date.fromordinal(table.entry[row]))
            args.district.set_enrollment(row, exit_date=end, state=state)
    return {"enrollments": [row + table.FIRST_DCID for row in standing]}


@operation
def reenroll(args: Args) -> Result:
    """student, section, [entry_date] = today; the student must have been there before."""
    student, section = args.row("students", "student"), args.row("sections", "section")
    table = args.district.enrollments
    if not any(table.section[row] == section.dcid for row in table.of_student(student.dcid)):
        raise ChangeError(f"{args.op}: student {student.dcid} never was in section {section.dcid}; use enroll")
    entry = args.date("entry_date") if "entry_date" in args else None
    return {"enrollment": enroll_in(args, student, section, entry)}


@operation
def add_section(args: Args) -> Result:
    """school, course (or course_name, course_number), [term], [number], [teacher], [students], [room], ..., [id]."""
    district, school = args.district, args.row("schools", "school")
    term = args.row("terms", "term") if "term" in args else current_term(args, school)
    if term.school != school.dcid:
        raise ChangeError(f"{args.op}: term {term.dcid} belongs to another school")
    course, made = _course_of(args, school)
    dcid = args.new_dcid("sections")
    number = args.text("number", str(dcid % 1000))
    section = model.Section(dcid, dcid - 600, school.dcid, course.dcid, term.dcid, number)
    for name, value in args.columns(_SECTION_COLUMNS).items():
        setattr(section, name, value)
    district.insert("sections", section)
    if "teacher" in args:
        _assign(args, section, args.row("users", "teacher"))
    enrolled = [enroll_in(args, student, section) for student in args.rows("students", "students")]
    return {"section": dcid, "enrollments": enrolled, **made}


def _course_of(args: Args, school: model.School) -> tuple[model.Course, Result]:
    if "course" in args:
        return args.row("courses", "course"), {}
    dcid = args.district.next_dcid("courses")
    number = args.text("course_number", f"N{dcid}")
    course = model.Course(dcid, dcid - 1500, number, args.text("course_name"), school.dcid)
    args.district.insert("courses", course)
    return course, {"course": dcid}


@operation
def update_section(args: Args) -> Result:
    """section and any of number, course, term, expression, external_expression, gradebook_type, room."""
    section = args.row("sections", "section")
    references = {}
    for table, name in (("courses", "course"), ("terms", "term")):
        if name in args:
            references[name] = args.row(table, name).dcid
    args.update(section, _SECTION_COLUMNS, references)
    if args.district.terms[section.term].school != section.school:
        raise ChangeError(f"{args.op}: term {section.term} belongs to another school")
    return {"section": section.dcid}


@operation
def delete_section(args: Args) -> Result:
    """section; its enrollments and roster rows go with it."""
    section = args.row("sections", "section")
    remove_section(args, section)
    return {"section": section.dcid}


def remove_section(args: Args, section: model.Section) -> None:
    """Takes a section out with everything that hangs on it."""
    for row in args.district.enrollments.of_section(section.dcid):
        args.district.set_enrollment(row, state=model.DELETED)
    for teaching in [t for t in args.district.section_teachers.values() if t.section == section.dcid]:
        args.district.remove("section_teachers", teaching.dcid)
    args.district.remove("sections", section.dcid)


@operation
def assign_teacher(args: Args) -> Result:
    """section, teacher (users_dcid): becomes the lead; whoever was it before ends yesterday."""
    section, teacher = args.row("sections", "section"), args.row("users", "teacher")
    return {"staff": _assign(args, section, teacher)}


@operation
def unassign_teacher(args: Args) -> Result:
    """section: nobody leads it any more."""
    section = args.row("sections", "section")
    if section.staff is None:
        raise ChangeError(f"{args.op}: section {section.dcid} has no teacher")
    _end_teaching(args, section, model.ROLE_LEAD)
    args.district.assign(section, "staff", None)
    return {"section": section.dcid}


@operation
def add_co_teacher(args: Args) -> Result:
    """section, teacher (users_dcid)."""
    section, teacher = args.row("sections", "section"), args.row("users", "teacher")
    staff = staff_row(args, teacher, section.school)
    if any(t.staff == staff.dcid and t.end_date >= args.today for t in _teachings(args, section)):
        raise ChangeError(f"{args.op}: teacher {teacher.dcid} teaches section {section.dcid} already")
    return {"section_teacher": _teach(args, section, staff, model.ROLE_CO_TEACHER), "staff": staff.dcid}


@operation
def remove_co_teacher(args: Args) -> Result:
    """section, teacher (users_dcid)."""
    section, teacher = args.row("sections", "section"), args.row("users", "teacher")
    ids = {row.dcid for row in args.district.staff_of(teacher.dcid)}
    found = [t for t in _teachings(args, section) if t.role == model.ROLE_CO_TEACHER and t.staff in ids]
    if not found:
        raise ChangeError(f"{args.op}: teacher {teacher.dcid} is no co-teacher of section {section.dcid}")
    for row in found:
        args.district.remove("section_teachers", row.dcid)
    return {"section_teachers": [row.dcid for row in found]}


def _assign(args: Args, section: model.Section, teacher: model.User) -> int:
    staff = staff_row(args, teacher, section.school)
    if section.staff == staff.dcid:
        raise ChangeError(f"{args.op}: teacher {teacher.dcid} leads section {section.dcid} already")
    _end_teaching(args, section, model.ROLE_LEAD)
    args.district.assign(section, "staff", staff.dcid)
    _teach(args, section, staff, model.ROLE_LEAD)
    return staff.dcid


def staff_row(args: Args, user: model.User, school: int, type_: int = 1) -> model.Staff:
    """The person's SCHOOLSTAFF row at the school, made if there is none, current again if it was not."""
    row = next((row for row in args.district.staff_of(user.dcid) if row.school == school), None)
    if row is None:
        dcid = args.district.next_dcid("staff")
        row = model.Staff(dcid, dcid + 4000, user.dcid, school, type_)
        args.district.insert("staff", row)
    elif row.status != 1:
        args.district.assign(row, "status", 1)
    return row


def _teachings(args: Args, section: model.Section) -> list[model.SectionTeacher]:
    return [row for row in args.district.section_teachers.values() if row.section == section.dcid]


def _teach(args: Args, section: model.Section, staff: model.Staff, role: int) -> int:
    dcid, term = args.district.next_dcid("section_teachers"), args.district.terms[section.term]
    start = max(term.first_day, min(args.today, term.last_day))
    row = model.SectionTeacher(dcid, section.dcid, staff.dcid, role, start, term.last_day)
    args.district.insert("section_teachers", row)
    return dcid


def _end_teaching(args: Args, section: model.Section, role: int) -> None:
    for row in _teachings(args, section):
        if row.role == role and row.end_date >= args.today:
            args.district.assign(row, "end_date", args.today - _DAY)


@operation
def add_course(args: Args) -> Result:
    """name, number, [school] (a course of the district without it), [id]."""
    school = args.row("schools", "school").dcid if "school" in args else None
    dcid = args.new_dcid("courses")
    args.district.insert("courses", model.Course(dcid, dcid - 1500, args.text("number"), args.text("name"), school))
    return {"course": dcid}


@operation
def update_course(args: Args) -> Result:
    """course and any of number, name."""
    course = args.row("courses", "course")
    args.update(course, _COURSE_COLUMNS)
    return {"course": course.dcid}
