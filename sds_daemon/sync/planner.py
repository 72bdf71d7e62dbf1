"""The plan: everything that would make the directory what the source says. Policies and limits come after."""

from __future__ import annotations

from sds_daemon.clock import Clock
from sds_daemon.plan.change import Change, Withheld
from sds_daemon.plan.issues import IssueCode
from sds_daemon.store import Link
from sds_daemon.sync.matching import ANCHOR_RULE
from sds_daemon.sync.plan_classes import plan_classes
from sds_daemon.sync.plan_memberships import plan_memberships
from sds_daemon.sync.plan_people import plan_people
from sds_daemon.sync.plan_schools import plan_schools
from sds_daemon.sync.world import World


def store_matches(world: World, clock: Clock) -> None:
    """Keep the links matching has found: linking writes nothing to the directory.

    Education attributes the directory already holds count as written, so that only differences are sent.
    """
    for issue in world.match.issues:
        world.issues.add(issue)
    _forget_purged(world)
    users = world.directory.users([matched.object_id for matched in world.match.matched])
    links = []
    for matched in world.match.matched:
        earlier = world.known.get(matched.ref)
        if earlier is not None:  # its account was purged: what was recorded of it goes with it
            world.drop_link(matched.ref)
        user = users.get(matched.object_id)
        links.append(
            Link(
                ref=matched.ref,
                object_id=matched.object_id,
                profile=earlier.profile if earlier is not None else world.profile.name,
                created=matched.created,
                rule=matched.rule,
                licenses_due=matched.licenses_due,
                # what an account with our mark holds is read back later, by recall_written
                written=dict(user.education) if user is not None and matched.rule != ANCHOR_RULE else {},
                linked_at=clock.now(),
            )
        )
    world.keep_links(links)


def _forget_purged(world: World) -> None:
    """An account to be made in place of one gone for good starts afresh: its memberships are to be written again."""
    for create in world.match.creates:
        if create.ref in world.known:
            world.drop_link(create.ref)


def make_changes(world: World) -> tuple[list[Change], list[Withheld]]:
    """All changes, in the order schools, people, classes, memberships; and removals that rest on an unproved part."""
    report_problems(world)
    school_changes, schools = plan_schools(world)
    people = plan_people(world)
    class_changes, classes = plan_classes(world)
    memberships, unproved = plan_memberships(world, classes, schools)
    return [*school_changes, *people, *class_changes, *memberships], unproved


def report_problems(world: World) -> None:
    """What the reader had to say of records becomes issues; a record it left out is not in the snapshot anyway."""
    codes = {code.value: code for code in IssueCode}
    for problem in world.snapshot.problems:
        world.issues.report(problem.ref, codes.get(problem.code, IssueCode.INVALID_RECORD), problem.detail)
