"""Makes a district of any size from a seed: the same arguments give the same district, row for row."""

from __future__ import annotations

import datetime as dt
import random
import unicodedata
import uuid
from dataclasses import dataclass

from sds_daemon.sandbox import names
from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District

_STUDENTS_PER_SCHOOL = 500
_CLASS_SIZE = 25
_PERIODS = 6
_LEVELS = (("Elementary", 0, 5), ("Middle", 6, 8), ("High", 9, 12))
_NON_TEACHING = (2, 2, 3, 4)
_ID_OF_STUDENT = 3000
_PERIOD_DAYS = ("A", "A-B", "A-E")


@dataclass(slots=True)
class _Year:
    start_year: int

    @property
    def first(self) -> dt.date:
        return dt.date(self.start_year, 7, 1)

    @property
    def end(self) -> dt.date:
        """The first day after the year."""
        return dt.date(self.start_year + 1, 7, 1)

    @property
    def middle(self) -> dt.date:
        """The first day of the second semester."""
        return dt.date(self.start_year + 1, 1, 1)


def school_year_of(day: dt.date) -> int:
    """The year in which the school year (July to June) that contains `day` begins."""
    return day.year if day.month >= 7 else day.year - 1


def generate(*, students: int, seed: int, today: dt.date, domain: str = "contoso.edu") -> District:
    """A district with `students` active students; some more rows stand for those who left, graduated or will come."""
    if students < 1:
        raise ValueError("a district needs at least one student")
    return _Generator(students, seed, today, domain).run()


class _Generator:
    def __init__(self, students: int, seed: int, today: dt.date, domain: str) -> None:
        self.rng = random.Random(seed)
        self.today = today
        self.year = _Year(school_year_of(today))
        self.count = students
        identity = uuid.UUID(int=random.Random(f"district {seed}").getrandbits(128), version=4)
        self.district = District(str(identity), "Contoso Unified School District", number="4711", domain=domain)
        self.usernames: set[str] = set()
        self.terms: dict[tuple[int, int, int], int] = {}
        self.teachers: dict[int, list[model.Staff]] = {}
        self.left: dict[int, model.Staff] = {}
        self.pupils: dict[int, list[int]] = {}
        self.first_section: dict[int, model.Section] = {}
        self.teachings = 0

    def run(self) -> District:
        self._special_schools()
        schools = self._schools()
        for school in self.district.schools.values():
            self._terms(school)
        self._district_courses()
        share, rest = divmod(self.count, len(schools))
        for index, school in enumerate(schools):
            self._populate(school, share + (index < rest), schools[index - 1] if index else None)
        self._irregular(schools)
        return self.district

    # Schools, terms, courses

    def _special_schools(self) -> None:
        for number, name in ((model.DISTRICT_OFFICE, "District Office"), (model.GRADUATED, "Graduated Students")):
            dcid = len(self.district.schools) + 1
            self.district.schools[dcid] = model.School(dcid, dcid + 900, number, name)

    def _schools(self) -> list[model.School]:
        total = max(1, -(-self.count // _STUDENTS_PER_SCHOOL))
        places = [f"{direction} {place}".strip() for direction in names.DIRECTIONS for place in names.PLACES]
        ordered = places[: len(names.PLACES)], places[len(names.PLACES) :]
        for part in ordered:
            self.rng.shuffle(part)
        places = ordered[0] + ordered[1]
        return [self._school(index, places[index % len(places)]) for index in range(total)]

    def _school(self, index: int, place: str) -> model.School:
        level, low, high = _LEVELS[(index + 2) % 3]
        extra = f" {index // (len(names.PLACES) * len(names.DIRECTIONS)) + 1}" if index >= 600 else ""
        dcid, number = index + 3, 101 + index * 3
        first, last = self.rng.choice(names.FIRST_NAMES), self.rng.choice(names.LAST_NAMES)
        school = model.School(
            dcid, dcid + 900, number, f"{place} {level} School{extra}", low, high,
            state_id=f"{number:05d}", street=f"{number} {place} Road", city="Contoso", state="WA",
            postal_code=f"{98000 + index:05d}", phone=f"555-010-{index % 10000:04d}",
            principal_first=first, principal_last=last, principal_email=f"principal{number}@{self.district.domain}",
        )  # fmt: skip
        self.district.schools[dcid] = school
        return school

    def _terms(self, school: model.School) -> None:
        for start_year in range(self.year.start_year - 1, self.year.start_year + 2):
            year = _Year(start_year)
            label = f"{start_year}-{start_year + 1}"
            day = dt.timedelta(days=1)
            rows = (
                (0, 1, year.first, year.end - day, label[2:5] + label[7:], label),
                (1, 2, year.first, year.middle - day, "S1", "Semester 1"),
                (2, 2, year.middle, year.end - day, "S2", "Semester 2"),
            )
            for n, portion, first, last, abbreviation, name in rows:
                dcid = 301 + len(self.terms)
                local = (start_year - 1990) * 100 + n
                self.district.terms[dcid] = model.Term(
                    dcid, local, school.dcid, start_year, portion, first, last, abbreviation, name
                )
                self.terms[school.dcid, start_year, n] = dcid

    def _district_courses(self) -> None:
        shared = enumerate(names.SUBJECTS[6:], 1)
        self.shared = [self._course(f"D{index}00", f"District {name}", None) for index, (name, _) in shared]

    def _course(self, number: str, name: str, school: int | None) -> model.Course:
        dcid = 2001 + len(self.district.courses)
        course = model.Course(dcid, dcid - 1500, number, name, school)
        self.district.courses[dcid] = course
        return course

    # One school

    def _populate(self, school: model.School, count: int, neighbour: model.School | None) -> None:
        grades = self._grades(school, count)
        groups: list[tuple[int, list[int]]] = []
        for index, grade in enumerate(grades):
            size = count // len(grades) + (index < count % len(grades))
            groups.append((grade, [self._student(school, grade).dcid for _ in range(size)]))
        self.pupils[school.dcid] = [dcid for _, group in groups for dcid in group]
        per_period = sum(self._sections_for(len(group)) for _, group in groups)
        self._staff_school(school, per_period)
        if neighbour is not None:
            self._share_teacher(neighbour, school)
        for period in range(_PERIODS):
            self._period(school, groups, period)

    def _grades(self, school: model.School, count: int) -> list[int]:
        grades = list(range(school.low_grade, school.high_grade + 1))
        return grades[: max(1, min(len(grades), count // _CLASS_SIZE))]

    def _sections_for(self, students: int) -> int:
        return max(1, round(students / _CLASS_SIZE))

    def _period(self, school: model.School, groups: list[tuple[int, list[int]]], period: int) -> None:
        subject = 0
        for grade, group in groups:
            course = self._course_for(school, grade, period)
            self.rng.shuffle(group)
            parts = self._sections_for(len(group))
            for part in range(parts):
                members = group[len(group) * part // parts : len(group) * (part + 1) // parts]
                teacher = self.teachers[school.dcid][subject % len(self.teachers[school.dcid])]
                subject += 1
                self._class(school, course, period, part, teacher, members)

    def _course_for(self, school: model.School, grade: int, period: int) -> model.Course:
        if period == _PERIODS - 1 and grade % 4 == 1:
            return self.shared[grade % len(self.shared)]
        name, code = names.SUBJECTS[(grade + period) % len(names.SUBJECTS)]
        style = (grade + period) % 3
        base = (grade + 3) * 100 + period
        number = (f"{code}{base}", str(base), f"{base:05d}")[style]
        return self._course(number, f"{name} {'K' if grade == 0 else grade}", school.dcid)

    def _class(
        self, school: model.School, course: model.Course, period: int, part: int, teacher: model.Staff,
        members: list[int],
    ) -> None:  # fmt: skip
        year = self.year
        halves: tuple[tuple[int, dt.date, dt.date], ...]
        if period == _PERIODS - 1 and len(self.district.sections) % 10 == 9:
            halves = ((1, year.first, year.middle), (2, year.middle, year.end))
        else:
            halves = ((0, year.first, year.end),)
        for n, first, end in halves:
            section = self._section(school, course, n, period, part, teacher)
            append = self.district.enrollments.append
            start, stop = first.toordinal(), end.toordinal()
            for student in members:
                append(section.dcid, student, start, stop)

    def _section(
        self, school: model.School, course: model.Course, n: int, period: int, part: int, teacher: model.Staff | None,
        start_year: int | None = None,
    ) -> model.Section:  # fmt: skip
        dcid = 1501 + len(self.district.sections)
        number = f"{part + 1:02d}" if school.number % 2 else str(part + 1)
        term = self.terms[school.dcid, start_year or self.year.start_year, n]
        section = model.Section(
            dcid, dcid - 600, school.dcid, course.dcid, term, number,
            expression=f"{period + 1}({_PERIOD_DAYS[part % 3]})", external_expression=f"{period + 1}(M-F)",
            staff=teacher.dcid if teacher else None, room=f"{100 + dcid % 80}",
        )  # fmt: skip
        self.district.sections[dcid] = section
        self.first_section.setdefault(school.dcid, section)
        if teacher is not None:
            self._teaches(section, teacher, model.ROLE_LEAD)
        return section

    def _teaches(self, section: model.Section, staff: model.Staff, role: int) -> model.SectionTeacher:
        dcid = 701 + self.teachings
        self.teachings += 1
        term = self.district.terms[section.term]
        row = model.SectionTeacher(dcid, section.dcid, staff.dcid, role, term.first_day, term.last_day)
        self.district.section_teachers[dcid] = row
        return row

    # People

    def _username(self, first: str, last: str) -> str:
        plain = unicodedata.normalize("NFKD", f"{first[0]}{last}").encode("ascii", "ignore").decode()
        base = "".join(c for c in plain.lower() if c.isalnum())[:14]
        name, n = base, 1
        while name.lower() in self.usernames:
            n += 1
            name = f"{base}{self.rng.randrange(10 * n)}"
        self.usernames.add(name.lower())
        return name

    def _student(self, school: model.School, grade: int, status: int = model.ACTIVE) -> model.Student:
        rng = self.rng
        serial = len(self.district.students)
        dcid = 1001 + serial
        first, last = rng.choice(names.FIRST_NAMES), rng.choice(names.LAST_NAMES)
        number = 200100 + serial
        username = self._student_username(first, last, number, serial)
        born = self.year.start_year - 5 - grade
        student = model.Student(
            dcid, dcid + _ID_OF_STUDENT, str(number), first, last, school.dcid, grade, self.year.first, self.year.end,
            middle_name=rng.choice(names.MIDDLE_NAMES) if serial % 3 == 0 else "", enroll_status=status,
            username=username, email=f"{username}@mail.{self.district.domain}" if serial % 2 == 0 else "",
            state_number=f"{number + 70000000:010d}",
            gender="FMX"[serial % 2 if serial % 50 else 2], birth_date=dt.date(born, 1 + serial % 12, 1 + serial % 28),
            graduation_year=self.year.start_year + 13 - grade,
        )  # fmt: skip
        self.district.students[dcid] = student
        return student

    def _student_username(self, first: str, last: str, number: int, serial: int) -> str:
        if serial % 20 == 7:
            name = str(number)
        elif serial % 50 == 13:
            name = f"00{number}"
        else:
            return self._username(first, last)
        self.usernames.add(name)
        return name

    def _staff_school(self, school: model.School, teachers: int) -> None:
        self.teachers[school.dcid] = [self._employ(self._user(school), school, 1) for _ in range(teachers)]
        for type_ in _NON_TEACHING:
            self._employ(self._user(school, teaching=False), school, type_)
        self.left[school.dcid] = self._employ(self._user(school), school, 1, status=2)

    def _user(self, school: model.School, *, teaching: bool = True) -> model.User:
        serial = len(self.district.users)
        dcid = 1001 + serial
        first, last = self.rng.choice(names.FIRST_NAMES), self.rng.choice(names.LAST_NAMES)
        username = self._username(first, last)
        number = f"{serial + 1:05d}" if serial % 4 == 0 else str(9000 + serial)
        user = model.User(
            dcid, number, first, last, email=f"{username}@{self.district.domain}" if serial % 8 else "",
            teacher_username=username if teaching else "",
            admin_username=username if serial % 5 == 0 or not teaching else "",
            home_school=school.dcid, pt_access=int(teaching),
        )  # fmt: skip
        self.district.users[dcid] = user
        return user

    def _employ(self, user: model.User, school: model.School, type_: int, status: int = 1) -> model.Staff:
        dcid = 1051 + len(self.district.staff)
        staff = model.Staff(dcid, dcid + 4000, user.dcid, school.dcid, type_, status)
        self.district.staff[dcid] = staff
        return staff

    def _share_teacher(self, home: model.School, guest: model.School) -> None:
        person = self.district.users[self.teachers[home.dcid][-1].user]
        row = self._employ(person, guest, 1)
        # Takes one place in the rotation, so that this person really teaches in both schools.
        self.teachers[guest.dcid][0] = row

    # What makes real data unpleasant

    def _irregular(self, schools: list[model.School]) -> None:
        regular = list(self.district.sections.values())
        for index, school in enumerate(schools):
            if index % 10 == 0:
                self._odd_sections(school)
            self._other_years(school)
        self._co_teachers(regular)
        self._history(regular)
        self._other_statuses(schools)
        office = self.district.schools[1]
        self._employ(self.district.users[self.teachers[schools[0].dcid][0].user], office, 2)

    def _odd_sections(self, school: model.School) -> None:
        """A section nobody teaches and one nobody attends."""
        course = self._course(f"X{school.number}", "Independent Study", school.dcid)
        self._section(school, course, 0, 0, 8, self.teachers[school.dcid][0])
        orphan = self.first_section[school.dcid]
        orphan.staff = None
        for row in [r for r in self.district.section_teachers.values() if r.section == orphan.dcid]:
            del self.district.section_teachers[row.dcid]

    def _other_years(self, school: model.School) -> None:
        """A handful of last year's sections, taught by somebody who left, and one planned for next year."""
        left = self.left[school.dcid]
        course = self.district.courses[self.first_section[school.dcid].course]
        members = self.pupils[school.dcid][:_CLASS_SIZE]
        for start_year, count, teacher in ((self.year.start_year - 1, 3, left), (self.year.start_year + 1, 1, None)):
            year = _Year(start_year)
            span = year.first.toordinal(), year.end.toordinal()
            for part in range(count):
                section = self._section(school, course, 0, part, 20 + part, teacher, start_year)
                for student in members:
                    self.district.enrollments.append(section.dcid, student, *span)

    def _co_teachers(self, sections: list[model.Section]) -> None:
        """About every twelfth section has one; some of them have stopped, and some begin later."""
        rng = random.Random(f"co-teachers {self.district.uuid}")
        for index, section in enumerate(sections[3::12]):
            others = [t for t in self.teachers[section.school] if t.dcid != section.staff]
            if not others or section.staff is None:
                continue
            row = self._teaches(section, rng.choice(others), model.ROLE_CO_TEACHER)
            middle = max(row.start_date, min(self.today, row.end_date))
            if index % 5 == 1:
                row.end_date = max(row.start_date, middle - dt.timedelta(days=7))
            elif index % 5 == 3:
                row.start_date = min(row.end_date, middle + dt.timedelta(days=7))

    def _history(self, sections: list[model.Section]) -> None:
        """Rows of students who dropped a class, never came, left, or left and returned."""
        table = self.district.enrollments
        first, today = self.year.first.toordinal(), self.today.toordinal()
        for index, section in enumerate(sections):
            rows = table.by_section.get(section.dcid)
            if not rows or len(rows) < 3 or self.district.terms[section.term].first_day != self.year.first:
                continue
            elsewhere = sections[(index + 1) % len(sections)]
            if elsewhere.school != section.school or self.district.terms[elsewhere.term].first_day != self.year.first:
                continue
            stranger = table.student[rows[index % len(rows)]]
            if any(table.student[row] == stranger for row in table.by_section.get(elsewhere.dcid, ())):
                continue
            span = max(0, min(14, today - first))
            kind = index % 4
            if kind == 0:
                table.append(elsewhere.dcid, stranger, first, first + span, model.DROPPED)
            elif kind == 1:
                table.append(elsewhere.dcid, stranger, first, first)
            elif kind == 2:
                table.append(elsewhere.dcid, stranger, first, first + span)
            elif span > 3:
                table.append(section.dcid, stranger, first, first + 1)
                table.entry[rows[index % len(rows)]] = first + 3

    def _other_statuses(self, schools: list[model.School]) -> None:
        graduates = self.district.schools[2]
        for index in range(max(4, self.count // 50)):
            school = schools[index % len(schools)]
            status = (model.PRE_REGISTERED, model.TRANSFERRED, model.GRADUATED_STATUS, 4)[index % 4]
            student = self._student(school, school.high_grade, status)
            if status == model.GRADUATED_STATUS:
                student.school = graduates.dcid
            if status == model.PRE_REGISTERED:
                student.entry_date, student.exit_date = self.year.end, _Year(self.year.start_year + 1).end
            else:
                student.entry_date = self.year.first.replace(year=self.year.start_year - 1)
                student.exit_date = self.year.first
