"""Forgetting what is known of a record, so that the next sync reads it anew. The directory is not touched."""

from __future__ import annotations

import msgspec

from sds_daemon.config.settings import Profile
from sds_daemon.errors import UsageError
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Store
from sds_daemon.sync.evidence import Past
from sds_daemon.sync.focus import Focus
from sds_daemon.sync.people import PERSON_KINDS
from sds_daemon.sync.trace import parse_ref


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """What a reset is about to do. `ref` None: the whole profile. `links` by kind; `memberships` to be compared."""

    profile: str
    source_uuid: str
    tenant_id: str
    ref: Ref | None
    links: dict[RecordKind, int]
    issues: int
    memberships: int


def plan_reset(store: Store, profile: Profile, past: Past, focus: Focus | None) -> Forgetting:
    """What would be forgotten. Raises UsageError for a record that is unknown, ambiguous, or another profile's."""
    run = past.run
    if run is None or not run.source_uuid or not run.tenant_id:
        raise UsageError(f"profile {profile.name} has not run yet", remedy="there is nothing to forget")
    book = store.links(run.source_uuid, run.tenant_id)
    rows = store.memberships(run.source_uuid, run.tenant_id)
    ref = _record(past, focus) if focus is not None else None
    if ref is None:
        links = [link for kind in RecordKind for link in book.all(kind).values() if link.profile == profile.name]
        memberships = rows.count(profile.name)
    else:
        links = _own(book.get(ref), profile)
        memberships = len(rows.of(ref)) + len(rows.of_member(ref))
    return Forgetting(
        profile=profile.name,
        source_uuid=run.source_uuid,
        tenant_id=run.tenant_id,
        ref=ref,
        links={kind: number for kind in RecordKind if (number := sum(link.ref.kind is kind for link in links))},
        issues=sum(ref is None or record.issue.ref == ref for record in store.issues.open(profile.name)),
        memberships=memberships,
    )


def _record(past: Past, focus: Focus) -> Ref:
    kinds = (RecordKind.SECTION,) if focus.what == "section" else PERSON_KINDS
    named = parse_ref(focus.text)
    found = [named] if named is not None else [ref for ref in past.find(focus.text) if ref.kind in kinds]
    if not found or found[0].kind not in kinds:
        raise UsageError(
            f"nothing is known of {focus.what} {focus.text}", remedy="give a SIS ID or a user principal name"
        )
    if len(found) > 1:
        raise UsageError(
            f"{focus.text} fits {' and '.join(str(ref) for ref in found)}",
            remedy=f'say which: --{focus.what} "{found[0]}"',
        )
    return found[0]


def _own(link: Link | None, profile: Profile) -> list[Link]:
    if link is not None and link.profile != profile.name:
        raise UsageError(
            f"{link.ref} is owned by profile {link.profile}", remedy=f"sds-daemon reset {link.profile} resets it"
        )
    return [link] if link is not None else []


def carry_out_reset(store: Store, forgetting: Forgetting) -> None:
    """Forget. The caller holds the profile's lease. Raises StateError."""
    name, ref = forgetting.profile, forgetting.ref
    store.links(forgetting.source_uuid, forgetting.tenant_id).reset(name, ref)
    store.issues.forget(name, ref)
    store.sightings.forget(name, ref)
    store.baselines.unsettle(name)
    if ref is None:
        store.directory(forgetting.tenant_id).restart()
