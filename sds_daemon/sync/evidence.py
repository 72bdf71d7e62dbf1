"""What `explain` can know of a record: from the stored record of past runs, or from a rehearsal made just now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sds_daemon.config.settings import Profile
from sds_daemon.plan.change import Change, Withheld
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Directory, Link, Membership, Memberships, Role, RunRecord, Store
from sds_daemon.store.runs import StoredChange
from sds_daemon.sync.job import Decision
from sds_daemon.sync.people import PERSON_KINDS
from sds_daemon.sync.sightings import records_of, sightings_of
from sds_daemon.sync.trace import Evidence, Held, Question, Sent

_CACHES = {RecordKind.SECTION: "group", RecordKind.SCHOOL: "school"}


class Past:
    """The stored record of one profile: its last run that read the source, and everything kept since."""

    def __init__(self, store: Store, profile: Profile, at: datetime) -> None:
        self._store = store
        self._profile = profile
        self._at = at
        self.run = self._last_reading_run()

    def find(self, text: str) -> list[Ref]:
        """Records that this text may mean: a SIS ID, an object id, a sign-in name, a value matching looked for."""
        name = self._profile.name
        refs = set(self._store.sightings.find(name, text))
        for issue in (record.issue for record in self._store.issues.open(name)):
            if issue.ref.sis_id == text or (issue.joining_value and issue.joining_value.lower() == text.lower()):
                refs.add(issue.ref)
        if self._scope is not None:
            refs |= {link.ref for link in self._links_like(text)}
        return sorted(refs)

    def evidence(self, ref: Ref) -> Evidence:
        """All that is stored of one record."""
        name, run = self._profile.name, self.run
        saw = self._store.sightings.get(name, ref)
        found = Evidence(
            ref=ref,
            profile=name,
            policy=self._profile.policy,
            run=run.id if run else None,
            at=run.started if run else None,
            seen_by=saw[0] if saw else None,
            sighting=saw[1] if saw else None,
            issues=[record.issue for record in self._store.issues.open(name) if record.issue.ref == ref],
            changes=[_sent(stored) for stored in self._store.runs.about(name, ref)],
        )
        if self._scope is not None:
            self._add_directory(found, *self._scope)
        return found

    def _add_directory(self, found: Evidence, source_uuid: str, tenant_id: str) -> None:
        found.link = self._store.links(source_uuid, tenant_id).get(found.ref)
        memberships = self._store.memberships(source_uuid, tenant_id)
        found.memberships = memberships_of(memberships, found.ref)
        absent = memberships.absent(self._profile.name, self._at)
        found.removed_by_hand = frozenset(row for row in absent if found.ref in (row.member, row.container))
        if found.link is not None:
            found.held = held_by(self._store.directory(tenant_id), found.ref.kind, found.link.object_id)

    @property
    def _scope(self) -> tuple[str, str] | None:
        run = self.run
        return (run.source_uuid, run.tenant_id) if run and run.source_uuid and run.tenant_id else None

    def _last_reading_run(self) -> RunRecord | None:
        runs = self._store.runs.list(self._profile.name, 200)
        return next((run for run in runs if run.kind != "preview" and run.source_uuid and run.tenant_id), None)

    def _links_like(self, text: str) -> list[Link]:
        assert self._scope is not None
        links = self._store.links(*self._scope)
        found = links.find(text)
        if not found and "@" in text:
            users = self._store.directory(self._scope[1]).users_by("userPrincipalName", [text])
            found = [link for user in users.get(text.lower(), []) for link in links.find(user.id)]
        return found


class Present:
    """A rehearsal made just now, beside the stored record of what earlier runs sent."""

    def __init__(self, decision: Decision, past: Past, at: datetime) -> None:
        self._decision = decision
        self._past = past
        self._issues = decision.world.issues.all()
        self._at = at

    def find(self, text: str) -> list[Ref]:
        """Records that this text may mean: as in the stored record, and SIS IDs the source gave."""
        world = self._decision.world
        here = {Ref(kind, text) for kind in RecordKind if text in records_of(world, kind)}
        values = {issue.ref for issue in self._issues if issue.joining_value.lower() == text.lower()}
        return sorted({*self._past.find(text), *here, *values})

    def evidence(self, ref: Ref) -> Evidence:
        """All that is known of one record now."""
        world, plan = self._decision.world, self._decision.plan
        in_question = (ref,) if ref.kind in PERSON_KINDS else ()
        found = self._past.evidence(ref)
        found.live, found.at = True, self._at
        found.sighting = dict(sightings_of(world, [ref], in_question))[ref]
        found.link = world.links.get(ref)
        found.issues = [issue for issue in self._issues if issue.ref == ref]
        found.memberships = memberships_of(world.memberships, ref)
        planned = [Sent(run=0, change=change, state="planned") for change in plan.changes]
        planned += [_withheld(item, "skipped") for item in plan.skipped]
        planned += [_withheld(item, "held") for item in plan.held]
        found.changes = [*(sent for sent in planned if concerns(sent.change, ref)), *found.changes]
        if found.link is not None:
            found.held = held_by(world.directory, ref.kind, found.link.object_id)
        return found


def question_of(person: Evidence, section: Evidence, inside: frozenset[Role] | None = None) -> Question:
    """Whether a person is in a section. `inside`: roles read from the directory just now."""
    changes = [sent for sent in section.changes if sent.change.member == person.ref]
    return Question(person=person, section=section, changes=changes, inside=inside)


def concerns(change: Change, ref: Ref) -> bool:
    """Whether a change is about a record, as what is written or as who is put in or taken out."""
    return ref in (change.subject, change.member)


def memberships_of(memberships: Memberships, ref: Ref) -> Sequence[Membership]:
    """Managed memberships a record has in others, and that others have in it."""
    inside = [Membership(container=ref, member=member, role=role) for role, member in memberships.of(ref)]
    return [*memberships.of_member(ref), *sorted(inside)]


def held_by(directory: Directory, kind: RecordKind, object_id: str) -> Held:
    """What the directory cache says of an object."""
    if kind in PERSON_KINDS:
        user = directory.users([object_id]).get(object_id)
        name = user.upn if user else None
    elif kind is RecordKind.SECTION:
        group = directory.groups([object_id]).get(object_id)
        name = group.mail_nickname if group else None
    else:
        school = directory.schools([object_id]).get(object_id)
        name = school.display_name if school else None
    if name is not None:
        return Held(state="present", name=name)
    cache = _CACHES.get(kind, "user")
    if object_id in directory.purged(cache, [object_id]):
        return Held(state="purged")
    return Held(state="deleted" if object_id in directory.deleted(cache, [object_id]) else "unknown")


def _sent(stored: StoredChange) -> Sent:
    record = stored.record
    return Sent(
        run=stored.run_id,
        change=record.change,
        state=record.state,
        withheld=record.withheld,
        detail=record.detail,
        code=record.code,
        status=record.status,
        at=record.settled_at or record.intended_at,
    )


def _withheld(item: Withheld, state: str) -> Sent:
    return Sent(run=0, change=item.change, state=state, withheld=item.reason, detail=item.detail)
