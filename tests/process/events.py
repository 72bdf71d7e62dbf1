"""What happens in the school between two days, and what each policy is to make of it.

An event has sections and people of its own; `expect` writes what becomes of the directory into a state. School 501 is
the stage, 502 where people move to, 503 the control school that nothing may touch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from process.town import (
    NEXT_DAY,
    Operation,
    State,
    flat,
    group,
    master,
    pupil,
    school,
    section,
    student,
    teacher,
    term,
)

Expect = Callable[[State, str], None]
STAGE, OTHER, CONTROL = 501, 502, 503
LIKE_STUDENT, LIKE_TEACHER, LIKE_CLASS = 8001, 9001, 7001  # of the control school: patterns for what is new
WHOLE_YEAR_ENDS = "2027-06-30"


@dataclass(frozen=True)
class Event:
    """`before`: rows that stand when the first sync runs. `day`: what the school changes. `hand`: in the directory."""

    name: str
    before: list[Operation]
    day: list[Operation]
    expect: Expect
    hand: tuple[tuple[str, str, str], ...] = ()


def nothing(_: State, __: str) -> None:
    """The directory stays as it is, whatever the policy."""


def classroom(number: int, *, students: int = 2, at: int = STAGE, **columns: str | int) -> list[Operation]:
    """Section 71xx with teacher 91xx and students 81xx0, 81xx1 ..."""
    pupils = [student(pupil_of(number, index), at) for index in range(students)]
    led_by = number + 2000
    numbers = [pupil_of(number, index) for index in range(students)]
    return flat(teacher(led_by, at), pupils, section(number, at, led_by, *numbers, **columns))


def pupil_of(number: int, index: int = 0) -> int:
    """The number of a student of classroom(number)."""
    return (number + 1000) * 10 + index


def control() -> list[Operation]:
    """The school of which nothing may change: two classes, five people."""
    return flat(
        school(CONTROL),
        teacher(LIKE_TEACHER, CONTROL),
        [student(number, CONTROL) for number in range(LIKE_STUDENT, LIKE_STUDENT + 4)],
        section(LIKE_CLASS, CONTROL, LIKE_TEACHER, 8001, 8002),
        section(LIKE_CLASS + 1, CONTROL, LIKE_TEACHER, 8002, 8003, 8004),
    )


def terms() -> list[Operation]:
    """Parts of the year around the two days: over, ending, and beginning within and beyond fourteen days."""
    return [
        term(601, STAGE, "2026-07-01", "2026-10-14"),
        term(602, STAGE, "2026-07-01", "2026-10-15"),
        term(603, STAGE, "2026-10-29", "2027-06-30"),
        term(604, STAGE, "2026-10-30", "2027-06-30"),
        term(606, OTHER, "2026-07-01", "2027-06-30"),
    ]


def _drop(number: int, index: int = 0, **columns: str) -> Operation:
    return {"op": "drop", "student": pupil_of(number, index), "section": number, "how": "exit", **columns}


def _left(number: int, index: int = 0) -> Expect:
    """Taken out of the class by every policy that removes students."""

    def expect(state: State, policy: str) -> None:
        if policy != "add-only":
            state.exit(number, pupil(pupil_of(number, index)))

    return expect


# One row of the table after the other


def appearing() -> list[Event]:
    """Schools, sections, people and enrollments that are new."""

    def new_student(state: State, _: str) -> None:
        state.new_student(81059, STAGE, LIKE_STUDENT)
        state.enter(7105, pupil(81059))

    def new_section(state: State, _: str) -> None:
        state.new_class(7106, STAGE, 7104, 9104, pupil_of(7104))

    def new_school(state: State, _: str) -> None:
        state.new_school(507, CONTROL)
        state.new_teacher(9107, 507, LIKE_TEACHER)
        state.new_student(pupil_of(7107), 507, LIKE_STUDENT)
        state.new_class(7107, 507, LIKE_CLASS, 9107, pupil_of(7107))
        span = {"displayName": "Term 605", "externalId": "605", "startDate": "2026-07-01", "endDate": "2027-06-30"}
        state.set(group(7107), term=span)

    return [
        Event(
            "an enrollment appears",
            classroom(7103),
            [{"op": "enroll", "student": LIKE_STUDENT + 3, "section": 7103}],
            lambda state, _: state.enter(7103, pupil(LIKE_STUDENT + 3)),
        ),
        Event("a student appears", classroom(7105), [student(81059, STAGE, 7105)], new_student),
        Event("a section appears", classroom(7104), section(7106, STAGE, 9104, pupil_of(7104)), new_section),
        Event(
            "a school appears",
            [],
            flat(
                school(507), term(605, 507, "2026-07-01", "2027-06-30"), classroom(7107, students=1, at=507, term=605)
            ),
            new_school,
        ),
    ]


def changing() -> list[Event]:
    """Attributes of everything."""

    def people(state: State, _: str) -> None:
        renamed = {
            "surname": "Newname",
            "education__student__grade": "10",
            "education__student__studentNumber": "new-1",
        }
        state.set(pupil(pupil_of(7108)), displayName="Stu Newname", **renamed)
        state.set(
            master(9108), displayName="Tina Teacher9108", givenName="Tina", education__teacher__teacherNumber="T-2"
        )

    def course(state: State, _: str) -> None:
        state.set(group(7109), course__courseNumber="NEW9", course__displayName="New name", classCode="NEW9.1")

    def place(state: State, _: str) -> None:
        state.rename_school(510, "School with a new name")
        state.set("school:510", principalEmail="new@contoso.edu", highestGrade="8")

    return [
        Event(
            "attributes of people change",
            classroom(7108),
            [
                {"op": "update_student", "student": pupil_of(7108), "last_name": "Newname", "grade": 10},
                {"op": "update_student", "student": pupil_of(7108), "number": "new-1"},
                {"op": "update_teacher", "teacher": 9108, "first_name": "Tina", "teacher_number": "T-2"},
            ],
            people,
        ),
        Event(
            "attributes of a section change, its class keeps its name",
            classroom(7109),
            [{"op": "update_course", "course": 27109, "name": "New name", "number": "NEW9"}],
            course,
        ),
        Event(
            "attributes of a school change",
            [school(510, high_grade=9, principal_last="Head", principal_email="head@contoso.edu")],
            [{"op": "update_school", "school": 510, "name": "School with a new name",
              "principal_email": "new@contoso.edu", "high_grade": 8}],
            place,
        ),
        Event(
            "a teacher renamed the class, and its course changes",
            classroom(7110),
            [{"op": "update_course", "course": 27110, "name": "Other name"}],
            lambda state, _: state.set(group(7110), course__displayName="Other name"),
            hand=(("rename", group(7110), "Our class"),),
        ),
    ]  # fmt: skip


def leaving() -> list[Event]:
    """Students who leave a section, in every way a row can end."""
    zero_day = {
        "op": "enroll",
        "student": LIKE_STUDENT + 3,
        "section": 7115,
        "entry_date": NEXT_DAY,
        "exit_date": NEXT_DAY,
    }
    again = {"op": "reenroll", "student": pupil_of(7116), "section": 7116}
    back = {"op": "reenroll", "student": pupil_of(7117), "section": 7117}
    return [
        Event("an enrollment ends today", classroom(7111), [_drop(7111)], _left(7111)),
        Event("an enrollment is marked as dropped", classroom(7112), [_drop(7112, how="dropped")], _left(7112)),
        Event("an enrollment's row is deleted", classroom(7113), [_drop(7113, how="delete")], _left(7113)),
        Event(
            "an enrollment is to end tomorrow",
            classroom(7114),
            [_drop(7114, exit_date="2026-10-16")],
            nothing,
        ),
        Event("a row without a day is no enrollment", classroom(7115), [zero_day], nothing),
        Event("a student leaves and returns on one day", classroom(7116), [_drop(7116), again], nothing),
        Event(
            "a student returns",
            [*classroom(7117), _drop(7117, exit_date="2026-10-14")],
            [back],
            lambda state, _: state.enter(7117, pupil(pupil_of(7117))),
        ),
    ]


def teaching() -> list[Event]:
    """Teachers who join and leave."""

    def replaced(state: State, policy: str) -> None:
        state.new_teacher(9199, STAGE, LIKE_TEACHER)
        state.lead(7118, master(9199))
        if policy == "mirror":
            state.step_down(7118, master(9118))

    def gone_and_replaced(state: State, policy: str) -> None:
        state.lead(7121, master(9198))
        if policy == "mirror":
            state.step_down(7121, master(9121))

    def joins(state: State, _: str) -> None:
        state.new_class(7122, STAGE, 7104, 9122, pupil_of(7122))

    return [
        Event(
            "a new teacher replaces another",
            classroom(7118),
            [teacher(9199, STAGE), {"op": "assign_teacher", "section": 7118, "teacher": 9199}],
            replaced,
        ),
        Event("a teacher leaves a section", classroom(7119), [{"op": "unassign_teacher", "section": 7119}], nothing),
        Event(
            "a teacher leaves the SIS and is still named", classroom(7120), [{"op": "leave", "teacher": 9120}], nothing
        ),
        Event(
            "a teacher leaves the SIS and is replaced",
            [*classroom(7121), teacher(9198, STAGE)],
            [{"op": "leave", "teacher": 9121}, {"op": "assign_teacher", "section": 7121, "teacher": 9198}],
            gone_and_replaced,
        ),
        Event(
            "a section without a teacher gets one",
            flat(teacher(9122, STAGE), student(pupil_of(7122), STAGE), section(7122, STAGE, None, pupil_of(7122))),
            [{"op": "assign_teacher", "section": 7122, "teacher": 9122}],
            joins,
        ),
        Event("a section never had a teacher", section(7123, STAGE, None, LIKE_STUDENT), [], nothing),
    ]


def moving() -> list[Event]:
    """Students who change school."""

    def transferred(state: State, policy: str) -> None:
        mover = pupil(pupil_of(7124))
        state.attach(OTHER, mover)
        state.enter(7224, mover)
        _left(7124)(state, policy)
        if policy == "mirror":
            state.detach(STAGE, mover)

    def home_only(state: State, policy: str) -> None:
        state.attach(OTHER, pupil(pupil_of(7125)))
        if policy == "mirror":
            state.detach(STAGE, pupil(pupil_of(7125)))

    def section_moved(state: State, _: str) -> None:
        span = {"displayName": "Term 606", "externalId": "606", "startDate": "2026-07-01", "endDate": "2027-06-30"}
        state.set(group(7143), term=span)
        state.attach(OTHER, master(9143))
        state.attach_class(OTHER, 7143)

    return [
        Event(
            "a student changes school and classes",
            flat(classroom(7124), classroom(7224, at=OTHER)),
            [{"op": "transfer_student", "student": pupil_of(7124), "school": OTHER, "sections": [7224]}],
            transferred,
        ),
        Event(
            "a section moves to another school",
            classroom(7143),
            [
                {"op": "delete_section", "section": 7143},
                {
                    "op": "add_section",
                    "id": 7143,
                    "school": OTHER,
                    "course": 27143,
                    "number": "1",
                    "teacher": 9143,
                    "students": [pupil_of(7143), pupil_of(7143, 1)],
                    "term": 606,
                },
            ],
            section_moved,
        ),
        Event(
            "a student changes school and keeps the class",
            classroom(7125),
            [{"op": "update_student", "student": pupil_of(7125), "school": OTHER}],
            home_only,
        ),
    ]


def vanishing() -> list[Event]:
    """People, sections and schools that are gone, inactive or invalid."""
    inactive = {"op": "set_enroll_status", "student": pupil_of(7127), "status": "T", "end_enrollments": False}
    withdrawn = {"op": "set_enroll_status", "student": pupil_of(7128), "status": "T", "end_enrollments": True}
    nameless = {"op": "update_student", "student": pupil_of(7132), "first_name": "", "last_name": "", "username": ""}
    return [
        Event(
            "a student is deleted", classroom(7126), [{"op": "delete_student", "student": pupil_of(7126)}], _left(7126)
        ),
        Event("a student is inactive, the row is not", classroom(7127), [inactive], nothing),
        Event("a student is inactive and the row has ended", classroom(7128), [withdrawn], _left(7128)),
        Event("a section is deleted", classroom(7129), [{"op": "delete_section", "section": 7129}], nothing),
        Event(
            "a school is deleted",
            flat(school(530), classroom(7130, at=530)),
            [{"op": "delete_school", "school": 530}],
            nothing,
        ),
        Event(
            "a section has become invalid, and a student leaves it",
            classroom(7131),
            [{"op": "update_section", "section": 7131, "number": ""}, _drop(7131)],
            nothing,
        ),
        Event("a student's record has become invalid", classroom(7132), [nameless], nothing),
        Event(
            "a school has become invalid, and a student leaves it",
            flat(school(533), student(81339, 533)),
            [
                {"op": "update_school", "school": 533, "name": ""},
                {"op": "transfer_student", "student": 81339, "school": OTHER},
            ],
            lambda state, _: state.attach(OTHER, pupil(81339)),
        ),
        Event(
            "a student appears who is a teacher as well: the account is the teacher's",
            classroom(7134),
            [student(81349, STAGE, 7134, username="t9134")],
            nothing,
        ),
    ]


def ending() -> list[Event]:
    """The ends and beginnings of terms."""
    over = {"term": 601}
    late = {"op": "enroll", "student": LIKE_STUDENT + 3, "section": 7135, "entry_date": "2026-10-01"}

    def begins(state: State, _: str) -> None:
        state.new_class(7137, STAGE, 7104, 9137, 81370)
        span = {"displayName": "Term 603", "externalId": "603", "startDate": "2026-10-29", "endDate": "2027-06-30"}
        state.set(group(7137), term=span)

    return [
        Event(
            "the term is over: neither leaving, joining, teaching nor renaming counts",
            classroom(7135, **over),
            [
                _drop(7135, exit_date="2026-10-10"),
                late,
                {"op": "assign_teacher", "section": 7135, "teacher": 9136},
                {"op": "update_course", "course": 27135, "name": "Too late"},
            ],
            nothing,
        ),
        Event(
            "an enrollment that ends with its term is not left, one that ended before is",
            classroom(7136, term=602),
            [_drop(7136, 1), _drop(7136, exit_date="2026-10-14")],
            _left(7136),
        ),
        Event(
            "a section is taken up fourteen days before its term, with who stands for its first day",
            flat(classroom(7137, students=1, term=603), student(81375, STAGE)),
            [{"op": "enroll", "student": 81375, "section": 7137, "entry_date": "2026-11-05"}],
            begins,
        ),
        Event("a section fifteen days ahead is not taken up", classroom(7138, term=604), [], nothing),
    ]


def by_hand() -> list[Event]:
    """What people did in Teams."""
    return [
        Event(
            "members added by hand stay",
            classroom(7139),
            [_drop(7139)],
            _left(7139),
            hand=(("add", group(7139), pupil(LIKE_STUDENT)), ("add", group(7139), "user:helper@contoso.edu")),
        ),
        Event(
            "a member removed by hand is not put back",
            classroom(7140),
            [],
            nothing,
            hand=(("remove", group(7140), pupil(pupil_of(7140))),),
        ),
        Event(
            "a member removed by hand whose row ends is nobody's business",
            classroom(7141),
            [_drop(7141)],
            nothing,
            hand=(("remove", group(7141), pupil(pupil_of(7141))),),
        ),
        Event(
            "a member added by hand is now demanded",
            flat(classroom(7142), student(81429, STAGE)),
            [{"op": "enroll", "student": 81429, "section": 7142}],
            nothing,
            hand=(("add", group(7142), pupil(81429)),),
        ),
    ]


def all_events() -> list[Event]:
    """Every event, each on rows of its own."""
    return [
        *appearing(), *changing(), *leaving(), *teaching(), *moving(), *vanishing(), *ending(), *by_hand(),
    ]  # fmt: skip
