"""A district, a directory and a record in memory: what a plan is made from, and what is so after it was carried out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, cast

import msgspec

from sds_daemon.config.settings import LimitSettings, PersonRules, Profile
from sds_daemon.plan.change import Change, ChangeKind, Plan
from sds_daemon.plan.issues import Issue, IssueCode
from sds_daemon.roster.proof import Part, Proof, Resource
from sds_daemon.roster.records import (
    Absence,
    Course,
    RecordKind,
    Ref,
    RosterEntry,
    School,
    SchoolYear,
    Section,
    Snapshot,
    Student,
    Teacher,
    Term,
)
from sds_daemon.store import Directory, Head, Link, Links, Memberships, Role
from sds_daemon.store.memberships import packed
from sds_daemon.sync.gate import gate
from sds_daemon.sync.known import Known, Managed
from sds_daemon.sync.matching import MatchResult, ToCreate
from sds_daemon.sync.naming import AccountNames
from sds_daemon.sync.plan_memberships import ADD, REMOVE, ROLE_OF
from sds_daemon.sync.planner import make_changes
from sds_daemon.sync.world import IssueList, World
from sds_daemon.targets.base import DirectoryGroup, DirectoryUser, TenantFacts

SOURCE = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 10, 14, 12, tzinfo=UTC)
YEAR = {"start": date(2026, 8, 1), "end": date(2027, 6, 30), "start_year": 2026, "full_year": True}
MAKING = frozenset({ChangeKind.CREATE_SCHOOL, ChangeKind.CREATE_USER, ChangeKind.CREATE_CLASS})
UPDATES = frozenset({ChangeKind.UPDATE_SCHOOL, ChangeKind.UPDATE_USER, ChangeKind.UPDATE_CLASS})


class Everything(frozenset[str]):
    """A tenant that can hold every attribute."""

    def __contains__(self, name: object) -> bool:
        return True


FACTS = TenantFacts(
    tenant_id="tenant",
    display_name="Contoso",
    education=True,
    on_premises_sync=False,
    domains=("contoso.edu",),
    default_domain="contoso.edu",
    skus={},
    missing_permissions=(),
    class_api="education",
    writable={kind: Everything() for kind in RecordKind},
)


class Pupil(msgspec.Struct, frozen=True, kw_only=True):
    """A student: `state` is ok, refused (no account can be used), inactive, elsewhere (another profile), gone."""

    id: str
    school: str
    state: str = "ok"
    grade: str = "9"


class Master(msgspec.Struct, frozen=True, kw_only=True):
    """A teacher: `state` is ok, refused or gone."""

    id: str
    schools: tuple[str, ...] = ()
    state: str = "ok"


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A section: `state` is ok, invalid, frozen or gone; `unproved` its list of students, `doubted` its teachers."""

    id: str
    school: str
    students: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    state: str = "ok"
    unproved: bool = False
    doubted: bool = False
    course: str = "Biology"


class House(msgspec.Struct, frozen=True, kw_only=True):
    """A school: `state` is ok, invalid or gone; `unproved`: the list of its students."""

    id: str
    state: str = "ok"
    unproved: bool = False


class District(msgspec.Struct, frozen=True, kw_only=True):
    """A district as it stands at one moment."""

    houses: tuple[House, ...]
    pupils: tuple[Pupil, ...]
    masters: tuple[Master, ...]
    rooms: tuple[Room, ...]

    def snapshot(self) -> Snapshot:
        """What a reader makes of it. Sections of a school that is gone are gone as well."""
        houses = {house.id: house for house in self.houses if house.state != "gone"}
        rooms = [room for room in self.rooms if room.state != "gone" and room.school in houses]
        named = {student for room in rooms for student in room.students}
        read = [p for p in self.pupils if p.state in {"ok", "refused"} and p.school in houses]
        masters = [m for m in self.masters if m.state != "gone"]
        return Snapshot(
            source_uuid=SOURCE,
            reader="test",
            day=NOW.date(),
            timezone="UTC",
            year=SchoolYear(2026),
            schools={
                h.id: School(id=h.id, name="" if h.state == "invalid" else f"School {h.id}") for h in houses.values()
            },
            sections={room.id: _section(room) for room in rooms},
            students={
                p.id: Student(id=p.id, school_id=p.school, first_name="A", last_name="B", grade=p.grade) for p in read
            },
            teachers={m.id: _teacher(m, houses.keys()) for m in masters},
            proof=_proof(houses.values(), rooms),
            rosters_complete=True,
            absences=self._absences(named - {p.id for p in read}),
        )

    def refused(self) -> set[Ref]:
        """People for whom matching found no account."""
        pupils = {Ref(RecordKind.STUDENT, p.id) for p in self.pupils if p.state == "refused"}
        return pupils | {Ref(RecordKind.TEACHER, m.id) for m in self.masters if m.state == "refused"}

    def _absences(self, ids: set[str]) -> dict[str, Absence]:
        why = {p.id: Absence.INACTIVE if p.state == "inactive" else Absence.OTHER_SCHOOL for p in self.pupils}
        gone = {p.id for p in self.pupils if p.state == "gone"}
        return {each: Absence.UNKNOWN if each in gone else why.get(each, Absence.UNKNOWN) for each in sorted(ids)}


def _section(room: Room) -> Section:
    return Section(
        id=room.id,
        school_id=room.school,
        number="" if room.state == "invalid" else "1",
        term=Term(id="27", school_id=room.school, name="Year", **YEAR),
        course_id="40",
        course=Course(id="40", number="BIO", name=room.course),
        students=tuple(sorted(room.students)),
        teachers=tuple(RosterEntry(each) for each in sorted(room.teachers)),
        frozen=room.state == "frozen",
    )


def _teacher(master: Master, schools: Iterable[str]) -> Teacher:
    at = tuple(sorted(set(master.schools) & set(schools)))
    return Teacher(id=master.id, school_ids=at, first_name="C", last_name="D")


def _proof(houses: Iterable[House], rooms: list[Room]) -> Proof:
    parts = []
    for house in houses:
        mine = [room for room in rooms if room.school == house.id]
        doubted = {room.id: "a teacher could not be read" for room in mine if room.doubted}
        unread = {room.id: "the list could not be read" for room in mine if room.unproved}
        parts += [
            Part(resource=Resource.STUDENTS, school_id=house.id, received=1, expected=2 if house.unproved else 1),
            Part(resource=Resource.SECTIONS, school_id=house.id, received=1, expected=1, gaps=doubted),
            Part(resource=Resource.ENROLLMENTS, school_id=house.id, received=1, expected=1, gaps=unread),
        ]
    return Proof(parts=parts)


class _NoDirectory:
    def users(self, _: Iterable[str]) -> dict[str, DirectoryUser]:
        return {}

    def groups_by_alias(self, _: Iterable[str]) -> dict[str, DirectoryGroup]:
        return {}


class _BookLinks:
    """The links of a book, as planning asks the store for them."""

    def __init__(self, known: Mapping[Ref, Link]) -> None:
        self._known = known

    def written(self, kind: RecordKind, profile: str) -> Iterator[tuple[str, bool, dict[str, Any]]]:
        for ref, link in self._known.items():
            if ref.kind is kind and link.profile == profile:
                yield ref.sis_id, link.created, link.written

    def some(self, refs: Iterable[Ref]) -> dict[Ref, Link]:
        return {ref: self._known[ref] for ref in refs if ref in self._known}


class Book:
    """Links and managed memberships, kept as the ledger keeps them."""

    def __init__(self) -> None:
        self.known: dict[Ref, Link] = {}
        self.managed: dict[Ref, frozenset[tuple[Role, Ref]]] = {}

    def world(self, district: District, profile: Profile) -> World:
        """What a cycle knows before it plans."""
        snapshot = district.snapshot()
        people = [Ref(RecordKind.STUDENT, each) for each in snapshot.students]
        people += [Ref(RecordKind.TEACHER, each) for each in snapshot.teachers]
        refused = district.refused() & set(people)
        known = Known(_head(key, link) for key, link in enumerate(self.known.values(), start=1))
        fine = [ref for ref in people if ref not in refused]
        match = MatchResult(
            linked={ref: self.known[ref].object_id for ref in fine if ref in self.known},
            matched=[],
            creates=[ToCreate(ref=ref, names=_names(ref)) for ref in fine if ref not in self.known],
            issues=[Issue(ref=ref, code=IssueCode.UNMATCHED, detail="no account") for ref in sorted(refused)],
            foreign=set(),
        )
        return World(
            profile=profile,
            snapshot=snapshot,
            facts=FACTS,
            links=cast(Links, _BookLinks(dict(self.known))),
            memberships=cast(Memberships, None),
            directory=cast(Directory, _NoDirectory()),
            match=match,
            issues=IssueList(),
            known=known,
            managed=Managed(
                {
                    known[container].key: [packed(known[member].key, role) for role, member in rows]
                    for container, rows in self.managed.items()
                },
                known,
            ),
            blocked=set(),
        )

    def plan(
        self,
        district: District,
        profile: Profile,
        *,
        first_sync: bool = False,
        suspended: Mapping[str | None, str] | None = None,
    ) -> Plan:
        """The plan of a cycle, through policy and gates. `suspended`: why nothing is removed, by school."""
        world = self.world(district, profile)
        world.suspended = suspended or {}
        changes, unproved = make_changes(world)
        return gate(world, changes, unproved, first_sync=first_sync)

    def carry_out(self, changes: Iterable[Change], profile: Profile) -> None:
        """Everything succeeds."""
        for change in changes:
            if change.kind in MAKING:
                self.known[change.subject] = Link(
                    ref=change.subject,
                    object_id=f"object of {change.subject}",
                    profile=profile.name,
                    created=True,
                    rule="created",
                    written=dict(change.values),
                    linked_at=NOW,
                )
            elif change.kind in UPDATES:
                link = self.known[change.subject]
                self.known[change.subject] = msgspec.structs.replace(link, written={**link.written, **change.values})
            elif change.member is not None:
                self._move(change, change.member)

    def _move(self, change: Change, member: Ref) -> None:
        inside = self.managed.get(change.subject, frozenset())
        row = {(ROLE_OF[change.kind], member)}
        if change.kind in ADD.values():
            assert not row & inside, f"{change} adds what is there"
            self.managed[change.subject] = inside | row
        else:
            assert change.kind in REMOVE.values()
            assert row <= inside, f"{change} removes what is not managed"
            self.managed[change.subject] = inside - row


def _head(key: int, link: Link) -> Head:
    return Head(link.ref, key, link.object_id, link.profile, link.rule, link.created, blank=not link.written)


def _names(ref: Ref) -> AccountNames:
    alias = f"{ref.kind}{ref.sis_id}"
    return AccountNames(
        user_principal_name=f"{alias}@contoso.edu",
        mail_nickname=alias,
        display_name="A B" if ref.kind is RecordKind.STUDENT else "C D",
        given_name="A" if ref.kind is RecordKind.STUDENT else "C",
        surname="B" if ref.kind is RecordKind.STUDENT else "D",
    )


def profile(policy: str = "sds", limits: LimitSettings | None = None, **more: Any) -> Profile:
    """A profile that creates."""
    rules = PersonRules(domain="contoso.edu", attributes=("grade", "student_number", "school"))
    teachers = PersonRules(domain="contoso.edu", attributes=("teacher_number", "school"))
    fields: dict[str, Any] = {"name": "oak", "source": "ps", "tenant": "contoso", "schools": "all", "users": "create"}
    people = {"students": rules, "teachers": teachers}
    return Profile(**{**fields, **people, "policy": policy, "limits": limits or LimitSettings(), **more})
