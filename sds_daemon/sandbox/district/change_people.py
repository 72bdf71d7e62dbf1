"""Operations on students and staff."""

from __future__ import annotations

from typing import Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.change_classes import end_enrollments, enroll_in, staff_row
from sds_daemon.sandbox.district.operation import Args, ChangeError, Result, current_term, operation

_STUDENT_COLUMNS: Final = {
    "number": "text",
    "first_name": "text",
    "middle_name": "text",
    "last_name": "text",
    "grade": "integer",
    "username": "text",
    "email": "text",
    "state_number": "text",
    "gender": "text",
    "birth_date": "date",
    "graduation_year": "integer",
    "entry_date": "date",
    "exit_date": "date",
    "enroll_status": "integer",
    "school": "integer",
}
_USER_COLUMNS: Final = {
    "teacher_number": "text",
    "first_name": "text",
    "middle_name": "text",
    "last_name": "text",
    "email": "text",
    "teacher_username": "text",
    "admin_username": "text",
    "pt_access": "integer",
}
_LETTERS: Final = {"A": 0, "P": -1, "T": 2, "G": 3, "H": 4, "I": 1}


@operation
def add_student(args: Args) -> Result:
    """school, first_name, last_name and any column of a student, [sections] to enroll in, [id]."""
    school = args.row("schools", "school")
    dcid = args.new_dcid("students")
    first, last = args.text("first_name"), args.text("last_name")
    term = current_term(args, school)
    student = model.Student(
        dcid, dcid + 3000, args.text("number", str(300000 + dcid)), first, last, school.dcid,
        args.integer("grade", school.high_grade), args.today, model.day_after(term.last_day),
        username=args.text("username", f"{first[:1]}{last}{dcid}".lower()),
    )  # fmt: skip
    for name, value in args.columns(_STUDENT_COLUMNS).items():
        setattr(student, name, value)
    args.district.insert("students", student)
    enrolled = [enroll_in(args, student, section) for section in args.rows("sections", "sections")]
    return {"student": dcid, "enrollments": enrolled}


@operation
def update_student(args: Args) -> Result:
    """student and any column."""
    student = args.row("students", "student")
    args.update(student, _STUDENT_COLUMNS)
    if student.school not in args.district.schools:
        raise ChangeError(f"{args.op}: there is no school {student.school}")
    return {"student": student.dcid}


@operation
def transfer_student(args: Args) -> Result:
    """student, school (the new one), [sections] there; what was attended at the old school ends today."""
    student, school = args.row("students", "student"), args.row("schools", "school")
    if student.school == school.dcid:
        raise ChangeError(f"{args.op}: student {student.dcid} is at school {school.dcid} already")
    ended = end_enrollments(args, student, args.today, student.school)
    args.district.assign(student, "school", school.dcid)
    args.district.assign(student, "entry_date", args.today)
    enrolled = [enroll_in(args, student, section) for section in args.rows("sections", "sections")]
    return {"student": student.dcid, "ended": ended, "enrollments": enrolled}


@operation
def set_enroll_status(args: Args) -> Result:
    """student, status (a letter of A P T G H I, or a code), [end_enrollments] = unless active or pre-registered."""
    student, status = args.row("students", "student"), args.text("status")
    try:
        code = _LETTERS[status.upper()] if status.upper() in _LETTERS else int(status)
    except ValueError:
        raise ChangeError(f"{args.op}: status must be a letter of {', '.join(_LETTERS)} or a code") from None
    leaves = args.flag("end_enrollments", code not in (model.ACTIVE, model.PRE_REGISTERED))
    args.district.assign(student, "enroll_status", code)
    ended = end_enrollments(args, student, args.today) if leaves else []
    if leaves:
        args.district.assign(student, "exit_date", args.today)
    return {"student": student.dcid, "ended": ended}


@operation
def delete_student(args: Args) -> Result:
    """student; all enrollments go with the row."""
    student = args.row("students", "student")
    remove_student(args, student)
    return {"student": student.dcid}


def remove_student(args: Args, student: model.Student) -> None:
    """Takes a student out with all enrollments of all years."""
    for row in args.district.enrollments.of_student(student.dcid):
        args.district.set_enrollment(row, state=model.DELETED)
    args.district.remove("students", student.dcid)


@operation
def hire(args: Args) -> Result:
    """first_name, last_name, school (or schools), [type] = 1, any column of a user, [id]."""
    schools = args.rows("schools", "schools") if "schools" in args else [args.row("schools", "school")]
    if not schools:
        raise ChangeError(f"{args.op}: schools is empty")
    type_, dcid = args.integer("type", 1), args.new_dcid("users")
    first, last = args.text("first_name"), args.text("last_name")
    user = model.User(dcid, str(90000 + dcid), first, last, home_school=schools[0].dcid)
    user.teacher_username = f"{first[:1]}{last}{dcid}".lower()
    for name, value in args.columns(_USER_COLUMNS).items():
        setattr(user, name, value)
    args.district.insert("users", user)
    return {"teacher": dcid, "staff": [staff_row(args, user, school.dcid, type_).dcid for school in schools]}


@operation
def affiliate(args: Args) -> Result:
    """teacher (users_dcid), school, [type] = 1: works there as well, or again."""
    user, school = args.row("users", "teacher"), args.row("schools", "school")
    type_ = args.integer("type", 1)
    row = staff_row(args, user, school.dcid, type_)
    if row.type != type_:
        args.district.assign(row, "type", type_)
    return {"staff": row.dcid}


@operation
def update_teacher(args: Args) -> Result:
    """teacher (users_dcid) and any column."""
    user = args.row("users", "teacher")
    args.update(user, _USER_COLUMNS)
    return {"teacher": user.dcid}


@operation
def leave(args: Args) -> Result:
    """teacher (users_dcid), [school] (all without it): no longer there. Sections keep naming the person as lead."""
    user = args.row("users", "teacher")
    school = args.row("schools", "school").dcid if "school" in args else None
    rows = [r for r in args.district.staff_of(user.dcid) if r.status == 1 and school in (None, r.school)]
    if not rows:
        raise ChangeError(f"{args.op}: teacher {user.dcid} works there no longer")
    for row in rows:
        args.district.assign(row, "status", 2)
    return {"staff": [row.dcid for row in rows]}
