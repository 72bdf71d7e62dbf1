"""Trying a profile's identity rule on real records, without writing or keeping anything."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import msgspec

from sds_daemon.plan.issues import Issue, IssueCode
from sds_daemon.roster.records import RecordKind
from sds_daemon.sources.base import Finding
from sds_daemon.sync.job import Job, scope_of
from sds_daemon.sync.matching import MatchResult, match_people
from sds_daemon.targets.base import DirectoryUser

SAMPLES = 3
_WORDS = {
    IssueCode.UNMATCHED: "unmatched",
    IssueCode.DUPLICATE_TARGET: "ambiguous",
    IssueCode.ROLE_CONFLICT: "both teacher and student",
    IssueCode.MISSING_ATTRIBUTE: "without the value to match on",
}
_ROLES = {RecordKind.STUDENT: "students", RecordKind.TEACHER: "teachers"}


async def try_identity(job: Job) -> list[Finding]:
    """Matched, unmatched and ambiguous people per role, with samples; matched people without Exchange or SharePoint.

    The job's store must be a throw-away copy. Raises SdsError.
    """
    facts = await job.target.facts()
    scope = msgspec.structs.replace(scope_of(job), people_only=True)
    snapshot = await job.source.read(scope, stop=job.stop, progress=job.progress)
    directory = job.store.directory(facts.tenant_id, lag=timedelta(seconds=job.lag_horizon))
    await job.target.refresh(directory, stop=job.stop, progress=job.progress)
    match = match_people(
        snapshot,
        job.profile,
        links=job.store.links(snapshot.source_uuid, facts.tenant_id),
        directory=directory,
        source_uuid=snapshot.source_uuid,
        domains=facts.domains,
    )
    findings = [_role_finding(kind, match) for kind in _ROLES]
    findings += _problem_findings(match.issues)
    return [*findings, *await _unlicensed(job, match, directory.users(match.linked.values()))]


def _role_finding(kind: RecordKind, match: MatchResult) -> Finding:
    linked = sum(ref.kind is kind for ref in match.linked)
    creates = sum(create.ref.kind is kind for create in match.creates)
    refused = sum(issue.ref.kind is kind for issue in match.issues)
    made = f", {creates} to be created" if creates else ""
    return Finding(
        level="ok" if not refused else "warning",
        topic="identity",
        message=f"{_ROLES[kind]}: {linked} matched{made}, {refused} not usable",
        data={"role": _ROLES[kind], "matched": linked, "create": creates, "not_usable": refused},
    )


def _problem_findings(issues: list[Issue]) -> list[Finding]:
    grouped: dict[tuple[RecordKind, IssueCode], list[Issue]] = defaultdict(list)
    for issue in issues:
        grouped[issue.ref.kind, issue.code].append(issue)
    findings = []
    for (kind, code), found in sorted(grouped.items(), key=lambda item: -len(item[1])):
        samples = [f"{issue.ref.sis_id} ({issue.joining_value or 'empty'})" for issue in found[:SAMPLES]]
        findings.append(
            Finding(
                level="warning",
                topic="identity",
                message=f"{len(found)} {_ROLES[kind]} {_WORDS.get(code, code.value)}, such as {', '.join(samples)}",
                remedy=found[0].detail,
                data={"role": _ROLES[kind], "code": code.value, "count": len(found)},
            )
        )
    return findings


async def _unlicensed(job: Job, match: MatchResult, users: dict[str, DirectoryUser]) -> list[Finding]:
    """People without Exchange or SharePoint still sync; their classes show them nothing until they are licensed."""
    plans = await job.target.plans_of(sorted(users))
    without = {
        service: [ref for ref, object_id in sorted(match.linked.items()) if service not in plans.get(object_id, ())]
        for service in ("exchange", "SharePoint")
    }
    return [
        Finding(
            level="note",
            topic="licences",
            message=f"{len(refs)} matched people have no {service[0].upper() + service[1:]} plan, such as "
            f"{', '.join(str(ref) for ref in refs[:SAMPLES])}",
            remedy="they sync all the same; license them before class work begins",
            data={"service": service, "count": len(refs)},
        )
        for service, refs in without.items()
        if refs
    ]
