"""A small made-up district, and the state of the directory as something one can write an expectation of.

People and classes are named by the numbers a scenario gives them: student 8101 signs in as s8101@contoso.edu, teacher
9101 as t9101@contoso.edu, section 7101 has the alias Section_7101.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rig import Rig

DAY = "2026-10-14"
NEXT_DAY = "2026-10-15"
DOMAIN = "contoso.edu"
Operation = dict[str, Any]
Object = dict[str, Any]


def start(folder: Path, *options: str, day: str = DAY) -> Rig:
    """A sandbox that lives on `day`, and a program that believes so too; quotas and lag run 200 times as fast."""
    clock = {"SDS_DAEMON_CLOCK": f"{day}T18:00:00Z"}
    fixed = ("--students", "4", "--time-scale", "200", "--today", day)
    return Rig(folder, *fixed, *options, environment=clock).start()


def turn_to(rig: Rig, day: str) -> None:
    """Let a later day begin on both sides."""
    rig.environment["SDS_DAEMON_CLOCK"] = f"{day}T18:00:00Z"
    rig.post("clock", {"now": f"{day}T18:00:00+00:00"})


def school(number: int, **columns: Any) -> Operation:
    """A school whose DCID is its number."""
    return {"op": "add_school", "id": number, "number": number, "name": f"School {number}", **columns}


def teacher(number: int, at: int, **columns: Any) -> Operation:
    """A teacher of one school."""
    names = {"first_name": "Tea", "last_name": f"Teacher{number}", "teacher_username": f"t{number}"}
    return {"op": "hire", "id": number, "school": at, "teacher_number": f"N{number}", **names, **columns}


def student(number: int, at: int, *sections: int, **columns: Any) -> Operation:
    """A student enrolled in sections."""
    names = {"first_name": "Stu", "last_name": f"Student{number}", "username": f"s{number}", "number": str(number)}
    return {"op": "add_student", "id": number, "school": at, "grade": 9, "sections": [*sections], **names, **columns}


def section(number: int, at: int, led_by: int | None, *students: int, **columns: Any) -> list[Operation]:
    """A section with a course of its own (DCID 20000 + its number)."""
    course = {
        "op": "add_course",
        "id": 20000 + number,
        "school": at,
        "name": f"Course {number}",
        "number": f"C{number}",
    }
    row = {"op": "add_section", "id": number, "school": at, "course": 20000 + number, "number": "1", **columns}
    if led_by is not None:
        row["teacher"] = led_by
    return [course, {**row, "students": [*students]}]


def term(number: int, at: int, first: str, last: str) -> Operation:
    """A part of the school year 2026-27."""
    return {
        "op": "add_term", "id": number, "school": at, "start_year": 2026, "portion": 4, "first_day": first,
        "last_day": last, "name": f"Term {number}",
    }  # fmt: skip


def flat(*parts: Operation | Iterable[Operation]) -> list[Operation]:
    """Operations and lists of operations in one list."""
    operations: list[Operation] = []
    for part in parts:
        operations += [part] if isinstance(part, dict) else part
    return operations


def pupil(number: int) -> str:
    """How the directory state names the account of a student."""
    return f"user:s{number}@{DOMAIN}"


def master(number: int) -> str:
    """How the directory state names the account of a teacher."""
    return f"user:t{number}@{DOMAIN}"


def group(number: int) -> str:
    """How the directory state names the class of a section."""
    return f"group:Section_{number}"


class State:
    """The complete directory, each object under its name; methods say what is expected to become of it."""

    def __init__(self, objects: dict[str, Object]) -> None:
        self.objects = objects

    @classmethod
    def of(cls, rig: Rig) -> State:
        """The directory as it is now. A class renews its own life at every touch: that date is left out."""
        whole = rig.directory().comparable()
        named = {f"user:{item['userPrincipalName']}": item for item in whole.pop("users")}
        named |= {f"group:{item['mailNickname']}": item for item in whole.pop("groups")}
        named |= {f"school:{item['externalId']}": item for item in whole.pop("schools")}
        sis_ids = {item["displayName"]: item["externalId"] for key, item in named.items() if key.startswith("school:")}
        named |= {f"unit:{sis_ids.get(item['displayName'])}": item for item in whole.pop("administrativeUnits")}
        named |= {f"sku:{item['skuPartNumber']}": item for item in whole.pop("subscribedSkus")}
        assert not whole, f"the state knows {sorted(whole)} as well"
        for item in named.values():
            item.pop("renewedDateTime", None)
        return cls(named)

    def copy(self) -> State:
        """A state to write an expectation into."""
        return State(copy.deepcopy(self.objects))

    def differences(self, other: State) -> list[str]:
        """Every place where `other` is not the same, as sentences; none when the two are equal."""
        found: list[str] = []
        for name in sorted(self.objects.keys() | other.objects.keys()):
            mine, theirs = self.objects.get(name), other.objects.get(name)
            if mine is None or theirs is None:
                found.append(f"{name} {'appears' if mine is None else 'is gone'}")
            else:
                found += _differing(name, mine, theirs)
        return found

    def enter(self, section_: int, *people: str) -> None:
        """Becomes a member of the class."""
        self._list(group(section_), "members").extend(people)

    def exit(self, section_: int, *people: str) -> None:
        """Is a member of the class no longer."""
        for person in people:
            self._list(group(section_), "members").remove(person)

    def lead(self, section_: int, *people: str) -> None:
        """Becomes owner and member of the class."""
        self._list(group(section_), "owners").extend(people)
        self.enter(section_, *people)

    def step_down(self, section_: int, *people: str) -> None:
        """Is neither owner nor member of the class any more."""
        for person in people:
            self._list(group(section_), "owners").remove(person)
        self.exit(section_, *people)

    def attach(self, school_: int, *people: str) -> None:
        """Belongs to the school."""
        self._list(f"school:{school_}", "users").extend(people)
        self._list(f"unit:{school_}", "members").extend(people)

    def detach(self, school_: int, *people: str) -> None:
        """Belongs to the school no longer."""
        for person in people:
            self._list(f"school:{school_}", "users").remove(person)
            self._list(f"unit:{school_}", "members").remove(person)

    def attach_class(self, school_: int, section_: int) -> None:
        """The class belongs to the school."""
        self._list(f"school:{school_}", "classes").append(group(section_))
        self._list(f"unit:{school_}", "members").append(group(section_))

    def set(self, name: str, **values: Any) -> None:
        """Attributes of an object; a double underscore leads into a part of it."""
        for path, value in values.items():
            *way, last = path.split("__")
            place = self.objects[name]
            for step in way:
                place = place[step]
            assert last in place, f"{name} has no {path}"
            place[last] = value

    def rename_school(self, school_: int, name: str) -> None:
        """The school and its administrative unit are one object."""
        self.set(f"unit:{school_}", displayName=name)
        self.set(f"school:{school_}", displayName=name)

    def new_student(self, number: int, at: int, like: int) -> None:
        """An account made like another one, attached to the school."""
        self._new_user(f"s{number}", f"s{like}", "Stu", f"Student{number}")
        self.set(
            pupil(number), education__student={"externalId": str(number), "grade": "9", "studentNumber": str(number)}
        )
        self.attach(at, pupil(number))

    def new_teacher(self, number: int, at: int, like: int) -> None:
        """An account made like another one, attached to the school."""
        self._new_user(f"t{number}", f"t{like}", "Tea", f"Teacher{number}")
        self.set(master(number), education__teacher={"externalId": str(number), "teacherNumber": f"N{number}"})
        self.attach(at, master(number))

    def new_class(self, number: int, at: int, like: int, led_by: int, *students: int) -> None:
        """A class made like another one (of the same term), attached to the school."""
        made = copy.deepcopy(self.objects[group(like)])
        mail = f"Section_{number}@{DOMAIN}"
        made |= {"displayName": f"Course {number} 1", "mailNickname": f"Section_{number}", "mail": mail}
        made |= {"proxyAddresses": [f"SMTP:{mail}"], "externalId": str(number), "classCode": f"C{number}.1"}
        made["course"] = {
            "courseNumber": f"C{number}",
            "displayName": f"Course {number}",
            "externalId": str(20000 + number),
        }
        made |= {"owners": [], "members": []}
        self.objects[group(number)] = made
        self.lead(number, master(led_by))
        self.enter(number, *map(pupil, students))
        self.attach_class(at, number)

    def new_school(self, number: int, like: int) -> None:
        """A school made like another one, with nobody in it."""
        made = copy.deepcopy(self.objects[f"school:{like}"])
        made |= {"displayName": f"School {number}", "externalId": str(number), "schoolNumber": str(number)}
        self.objects[f"school:{number}"] = {**made, "users": [], "classes": []}
        unit = copy.deepcopy(self.objects[f"unit:{like}"])
        self.objects[f"unit:{number}"] = {**unit, "displayName": f"School {number}", "members": []}

    def _new_user(self, alias: str, like: str, first: str, last: str) -> None:
        made = copy.deepcopy(self.objects[f"user:{like}@{DOMAIN}"])
        made |= {"userPrincipalName": f"{alias}@{DOMAIN}", "mailNickname": alias, "displayName": f"{first} {last}"}
        self.objects[f"user:{alias}@{DOMAIN}"] = {**made, "givenName": first, "surname": last}

    def _list(self, name: str, key: str) -> list[str]:
        assert name in self.objects, f"there is no {name}"
        found: list[str] = self.objects[name][key]
        return found


def _differing(name: str, mine: Object, theirs: Object) -> list[str]:
    found = []
    for key in sorted(mine.keys() | theirs.keys()):
        one, other = mine.get(key), theirs.get(key)
        if isinstance(one, list) and isinstance(other, list) and all(isinstance(i, str) for i in [*one, *other]):
            gone, come = sorted(set(one) - set(other)), sorted(set(other) - set(one))
            found += [f"{name} {key} - {item}" for item in gone] + [f"{name} {key} + {item}" for item in come]
            if not gone and not come and len(one) != len(other):
                found.append(f"{name} {key} holds something twice")
        elif one != other:
            found.append(f"{name} {key}: {_text(one)} -> {_text(other)}")
    return found


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
