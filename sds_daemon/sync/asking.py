"""Questions about one record, as a person puts them, answered by traces."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.config.settings import Profile
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Role, Store
from sds_daemon.sync.cycle import run_cycle
from sds_daemon.sync.evidence import Past, Present, question_of
from sds_daemon.sync.explain import explain_membership, explain_record
from sds_daemon.sync.job import Job
from sds_daemon.sync.people import PERSON_KINDS
from sds_daemon.sync.trace import Evidence, Trace, parse_ref


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `text`: "student 123", a SIS ID, an object id or a sign-in name; `section`: in which section."""

    text: str
    section: str | None = None

    def refs(self, found: Sequence[Ref]) -> list[Ref]:
        """The records meant: the one named with its kind, else those found that fit the question."""
        named = parse_ref(self.text)
        refs = [named] if named is not None else list(found)
        return [ref for ref in refs if self.section is None or ref.kind in PERSON_KINDS]

    def in_section(self) -> Ref | None:
        """The section asked about; it may be written "section 1501"."""
        if self.section is None:
            return None
        return parse_ref(self.section) or Ref(RecordKind.SECTION, self.section)


def explain_past(store: Store, profile: Profile, asked: Asked, clock: Clock) -> list[Trace]:
    """Traces from the stored record of a profile; none where it knows nothing of the record."""
    past = Past(store, profile, clock.now())
    traces = []
    section = asked.in_section()
    for ref in asked.refs(past.find(asked.text)):
        if section is not None:
            question = question_of(past.evidence(ref), past.evidence(section))
            traces.append(explain_membership(question))
        else:
            traces.append(explain_record(past.evidence(ref)))
    return traces


async def explain_present(job: Job, asked: Asked) -> list[Trace]:
    """Traces from a rehearsal made now. The job must be one that can write nothing. Raises SdsError."""
    _, decision = await run_cycle(job)
    if decision is None:
        return []
    past = Past(job.store, job.profile, job.clock.now())
    present = Present(decision, past, job.clock.now())
    section = asked.in_section()
    traces = []
    for ref in asked.refs(present.find(asked.text)):
        person = await _complete(job, present.evidence(ref))
        if section is None:
            traces.append(explain_record(person))
            continue
        place = await _complete(job, present.evidence(section))
        traces.append(explain_membership(question_of(person, place, await _inside(job, person, place))))
    return traces


async def _complete(job: Job, evidence: Evidence) -> Evidence:
    """A record the snapshot lacks is asked for alone."""
    if evidence.sighting is None or not evidence.sighting.present:
        evidence.source_says = await job.source.look_up(evidence.ref)
    return evidence


async def _inside(job: Job, person: Evidence, section: Evidence) -> frozenset[Role] | None:
    """In what roles the person is in the class now; None where there is no class, nobody to look for, or no answer."""
    if person.link is None or section.link is None:
        return frozenset()
    group = section.link.object_id
    found = (await job.target.group_members([group])).get(group)
    if found is None:
        return None
    roles = {Role.OWNER: found.owners, Role.MEMBER: found.members}
    return frozenset(role for role, people in roles.items() if person.link.object_id in people)
