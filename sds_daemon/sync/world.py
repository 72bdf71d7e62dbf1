"""What a cycle knows between reading and writing: one value handed from step to step."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from sds_daemon.config.settings import Profile
from sds_daemon.plan.attributes import STRUCTURES
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Absence, RecordKind, Ref, Section, Snapshot
from sds_daemon.store import Directory, Head, Link, Links, Memberships
from sds_daemon.sync.known import Known, Managed, Pair, People
from sds_daemon.sync.matching import MatchResult
from sds_daemon.targets.base import TenantFacts

Absent = Mapping[Ref, frozenset[Pair]]


class IssueList:
    """Issues of a run, one per record and code; a repeated one adds to the count."""

    def __init__(self) -> None:
        self._issues: dict[tuple[Ref, IssueCode], Issue] = {}
        self._codes: dict[Ref, list[IssueCode]] = {}

    def add(self, issue: Issue) -> None:
        """Take an issue in; with the same record and code as an earlier one, the counts are summed."""
        earlier = self._issues.get(issue.key)
        if earlier is not None:
            issue = msgspec.structs.replace(earlier, count=earlier.count + issue.count)
        else:
            self._codes.setdefault(issue.ref, []).append(issue.code)
        self._issues[issue.key] = issue

    def report(
        self, ref: Ref, code: IssueCode, detail: str, *, severity: Severity = Severity.ERROR, joining_value: str = ""
    ) -> None:
        """Add an issue from its parts."""
        self.add(Issue(ref=ref, code=code, detail=detail, severity=severity, joining_value=joining_value))

    def about(self, ref: Ref) -> list[Issue]:
        """Errors recorded for one record so far."""
        found = (self._issues[ref, code] for code in self._codes.get(ref, ()))
        return [issue for issue in found if issue.severity is Severity.ERROR]

    def recount(self, issue: Issue, count: int) -> None:
        """Set how many rows an issue concerns."""
        self._issues[issue.key] = msgspec.structs.replace(issue, count=count)

    def all(self) -> list[Issue]:
        """Every issue, ordered by record and code."""
        return [self._issues[key] for key in sorted(self._issues, key=lambda k: (k[0], k[1].value))]


class World(msgspec.Struct, kw_only=True):
    """Snapshot, directory and record of one profile in one cycle.

    `known`: all links of the source and tenant. `managed`: memberships of this profile's classes and schools.
    `absent`: those of them that somebody removed by hand. `blocked`: schools and sections that may not be written to
    this time (deleted by hand, invalid record). `restorable`: sections whose deleted group is to be brought back, with
    its object id; `returned`: sections whose group was deleted and is there again. `suspended`: why nothing is removed
    this time, by school (None: anywhere).
    """

    profile: Profile
    snapshot: Snapshot
    facts: TenantFacts
    links: Links
    memberships: Memberships
    directory: Directory
    match: MatchResult
    issues: IssueList
    known: Known = msgspec.field(default_factory=Known)
    managed: Managed = msgspec.field(default_factory=lambda: Managed({}, Known()))
    absent: Absent = {}
    blocked: set[Ref] = set()
    restorable: dict[Ref, str] = {}
    returned: dict[Ref, str] = {}
    suspended: Mapping[str | None, str] = {}

    @property
    def source_uuid(self) -> str:
        """The district's uuid: it identifies the source in anchors and links."""
        return self.snapshot.source_uuid

    def let_go(self) -> None:
        """Forget what planning alone needed. Writing takes hours in a large district, and needs the links, the record
        and the directory; the snapshot keeps what it says of itself."""
        self.snapshot = msgspec.structs.replace(
            self.snapshot, schools={}, sections={}, students={}, teachers={}, absences={}, problems=[]
        )
        self.match = MatchResult(linked={}, matched=[], creates=[], issues=[], foreign=set())
        self.managed = Managed({}, Known())
        self.absent = {}

    def load_links(self) -> None:
        """Read all links once: planning looks at every record, and a query each would take minutes at size."""
        self.known = Known(self.links.heads())

    def load_managed(self) -> None:
        """Read all managed memberships of this profile's classes and schools."""
        self.managed = Managed(self.memberships.packed(self.profile.name), self.known)

    def keep_links(self, links: Collection[Link]) -> None:
        """Store links, and know them."""
        if links:
            self.links.put(links)
            self.known.put(self.links.heads_of([link.ref for link in links]))

    def drop_link(self, ref: Ref) -> None:
        """Forget a link and its memberships."""
        self.links.drop(ref)
        self.known.pop(ref, None)

    def of_kind(self, kind: RecordKind) -> Collection[Head]:
        """The known links of one kind."""
        return self.known.all(kind).values()

    def doubt(self, resource: Resource, school_id: str, sub_part: str | None = None) -> str | None:
        """Why nothing may be removed on the strength of a part of the snapshot; None when it may."""
        odd = self.suspended.get(None) or self.suspended.get(school_id)
        return odd or self.snapshot.proof.doubt(resource, school_id, sub_part)

    def doubt_of_teachers(self, section: Section) -> str | None:
        """Why no teacher may be taken out of a section; None when the list of its teachers is proved."""
        if not self.snapshot.rosters_complete:
            return f"reader {self.snapshot.reader} sees the lead teacher of a section alone"
        return self.doubt(Resource.SECTIONS, section.school_id, section.id)

    def reachable(self) -> People:
        """People who are linked or are about to be created: memberships can be planned for them."""
        people = People(self.match.linked)
        for create in self.match.creates:
            people.add(create.ref)
        for sis_id, absence in self.snapshot.absences.items():
            ref = Ref(RecordKind.STUDENT, sis_id)
            if absence is Absence.OTHER_SCHOOL and ref in self.known:
                people.add(ref)
        return people

    def writable(self, kind: RecordKind, values: Mapping[str, object]) -> dict[str, object]:
        """The attributes of `values` that this tenant can hold for the kind."""
        allowed = self.facts.writable[kind]
        if values.keys() <= allowed:
            return dict(values)
        return {name: value for name, value in values.items() if name in allowed}


def school_ref(sis_id: str) -> Ref:
    """Reference to a school."""
    return Ref(RecordKind.SCHOOL, sis_id)


def section_ref(sis_id: str) -> Ref:
    """Reference to a section."""
    return Ref(RecordKind.SECTION, sis_id)


def student_ref(sis_id: str) -> Ref:
    """Reference to a student."""
    return Ref(RecordKind.STUDENT, sis_id)


def teacher_ref(sis_id: str) -> Ref:
    """Reference to a teacher."""
    return Ref(RecordKind.TEACHER, sis_id)


def changed_values(desired: Mapping[str, object], written: Mapping[str, object]) -> dict[str, object]:
    """Attributes whose source value differs from the value last written; never written and empty are the same."""
    if desired.items() <= written.items():
        return {}
    return {name: value for name, value in desired.items() if written.get(name) != value}


def unchanged_beside(
    kind: RecordKind, changed: Mapping[str, object], desired: Mapping[str, object], written: Mapping[str, object]
) -> dict[str, object]:
    """Unchanged attributes that share a structured value with a changed one: desired, or held by the directory."""
    whole = {name for names in STRUCTURES[kind.value] if not names.isdisjoint(changed) for name in names}
    held = {**written, **desired}
    return {name: held[name] for name in sorted(whole - changed.keys()) if held.get(name) is not None}
