"""A snapshot, a book of links and a directory in memory, for matching."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from typing import Any

import msgspec

from sds_daemon.config.settings import PersonRules, Profile
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Proof
from sds_daemon.roster.records import (
    Course,
    RecordKind,
    Ref,
    School,
    SchoolYear,
    Section,
    Snapshot,
    Student,
    Teacher,
    Term,
)
from sds_daemon.sync.matching import MatchResult, match_people
from sds_daemon.targets.base import Anchor, DirectoryUser

SOURCE = "11111111-2222-3333-4444-555555555555"
DOMAINS = ("contoso.com", "staff.contoso.com")
TERM = Term(
    id="27", school_id="1", name="Year", start=date(2026, 8, 1), end=date(2027, 6, 30), start_year=2026, full_year=True
)


def student(sis_id: str, username: str = "", **more: str) -> Student:
    fields = {"first_name": "Ada", "last_name": "Byron", "school_id": "1", "username": username, **more}
    return Student(id=sis_id, **fields)


def teacher(sis_id: str, username: str = "", **more: str) -> Teacher:
    fields = {"first_name": "Alan", "last_name": "Turner", "username": username, **more}
    return Teacher(id=sis_id, school_ids=("1",), **fields)


def section(sis_id: str, *, course: Course | None = None, **more: Any) -> Section:
    fields: dict[str, Any] = {"school_id": "1", "number": "3", "term": TERM, "course_id": "40", **more}
    return Section(id=sis_id, course=course, **fields)


def snapshot(*records: Student | Teacher | Section) -> Snapshot:
    return Snapshot(
        source_uuid=SOURCE,
        reader="v1",
        day=date(2026, 10, 1),
        timezone="UTC",
        year=SchoolYear(2026),
        schools={"1": School(id="1", name="Oak School", number="100")},
        sections={record.id: record for record in records if isinstance(record, Section)},
        students={record.id: record for record in records if isinstance(record, Student)},
        teachers={record.id: record for record in records if isinstance(record, Teacher)},
        proof=Proof(),
        rosters_complete=False,
    )


def user(object_id: str, upn: str, *, mail: str = "", nickname: str = "", anchor: Ref | None = None) -> DirectoryUser:
    mark = Anchor(SOURCE, anchor.kind, anchor.sis_id) if anchor else None
    return DirectoryUser(id=object_id, upn=upn, mail=mail, mail_nickname=nickname, anchor=mark)


def profile(users: str = "match", **more: Any) -> Profile:
    fields: dict[str, Any] = {"name": "oak", "source": "ps", "tenant": "contoso", "schools": "all", "users": users}
    if users != "match":
        fields |= {"students": PersonRules(domain="contoso.com"), "teachers": PersonRules(domain="contoso.com")}
    return Profile(**{**fields, **more})


def matching_on(source: str, suffix: str | None, target: str) -> Profile:
    rules = PersonRules(source_property=source, suffix=suffix, target_property=target)
    return profile(students=rules, teachers=rules)


class StoredLink(msgspec.Struct):
    object_id: str
    profile: str = "oak"


class Book:
    """Links by Ref."""

    def __init__(self, links: dict[Ref, StoredLink] | None = None) -> None:
        self.links = links or {}

    def all(self, kind: RecordKind) -> dict[str, StoredLink]:
        return {ref.sis_id: link for ref, link in self.links.items() if ref.kind is kind}


class Directory:
    """Users, and ids known deleted. Counts the questions asked."""

    def __init__(self, *users: DirectoryUser, deleted: Iterable[str] = (), purged: Iterable[str] = ()) -> None:
        self.users = users
        self._deleted = set(deleted)
        self._purged = set(purged)
        self.questions = 0
        self.asked_for: list[str] = []

    def users_by(self, target: str, values: Iterable[str]) -> dict[str, list[DirectoryUser]]:
        self.questions += 1
        wanted = {value.lower() for value in values}
        self.asked_for += wanted
        attribute = {"userPrincipalName": "upn", "mail": "mail", "mailNickname": "mail_nickname"}[target]
        found: dict[str, list[DirectoryUser]] = {}
        for one in self.users:
            value = getattr(one, attribute).lower()
            if value and value in wanted:
                found.setdefault(value, []).append(one)
        return found

    def users_by_anchor(
        self, source_uuid: str, sis_ids: Collection[str] | None = None
    ) -> dict[tuple[RecordKind, str], list[DirectoryUser]]:
        self.questions += 1
        found: dict[tuple[RecordKind, str], list[DirectoryUser]] = {}
        for one in self.users:
            if one.anchor and one.anchor.source_uuid == source_uuid and (not sis_ids or one.anchor.sis_id in sis_ids):
                found.setdefault((one.anchor.kind, one.anchor.sis_id), []).append(one)
        return found

    def deleted(self, kind: str, ids: Iterable[str]) -> set[str]:
        self.questions += 1
        return (self._deleted | self._purged).intersection(ids)

    def purged(self, kind: str, ids: Iterable[str]) -> set[str]:
        self.questions += 1
        return self._purged.intersection(ids)


S1, S2 = Ref(RecordKind.STUDENT, "1"), Ref(RecordKind.STUDENT, "2")
T1, T2 = Ref(RecordKind.TEACHER, "1"), Ref(RecordKind.TEACHER, "2")


def match(
    data: Snapshot, chosen: Profile, directory: Directory, book: Book | None = None, domains: tuple[str, ...] = DOMAINS
) -> MatchResult:
    return match_people(data, chosen, links=book or Book(), directory=directory, source_uuid=SOURCE, domains=domains)


def codes(result: MatchResult) -> dict[Ref, IssueCode]:
    assert len({issue.ref for issue in result.issues}) == len(result.issues), "one issue for each person"
    return {issue.ref: issue.code for issue in result.issues}


def rules(result: MatchResult) -> dict[Ref, tuple[str, str]]:
    return {matched.ref: (matched.object_id, matched.rule) for matched in result.matched}
