"""The record of one run: its number, its journal lines, its summary."""

from __future__ import annotations

import time
from typing import Any

from loguru import logger

from sds_daemon.errors import SafetyStop, SdsError, SourceShrank, TooManyIssues
from sds_daemon.plan.change import Result
from sds_daemon.plan.drift import DriftCode
from sds_daemon.plan.issues import Severity
from sds_daemon.roster.records import Ref, Snapshot
from sds_daemon.sources.base import Unchanged
from sds_daemon.sync.job import Decision, Job
from sds_daemon.sync.ledger import RunLedger
from sds_daemon.sync.measure import Measure
from sds_daemon.sync.seats import forecast_seats, seats_not_told
from sds_daemon.sync.settled import Settled, summary_of
from sds_daemon.sync.summary import (
    FAILED,
    HELD,
    INTERRUPTED,
    NOTHING_TO_DO,
    PREVIEW,
    SUCCESS,
    SUCCESS_WITH_ISSUES,
    RunSummary,
    count_changes,
    count_withheld,
    proof_summary,
    snapshot_counts,
)
from sds_daemon.sync.world import IssueList
from sds_daemon.targets.base import TenantFacts


class Run:
    """The record of one run, from begin to its closing line."""

    def __init__(self, job: Job, started: float) -> None:
        self._job = job
        self._started = started
        self.issues = IssueList()
        self.notices: list[str] = []
        self.ledger: RunLedger | None = None
        self._source: dict[str, Any] = {}
        name = job.profile.name
        job.store.runs.mark_crashed(name)
        self._whole = job.only is None
        self._said = _notices_of_last(job)
        self.id = job.store.runs.begin(name, kind="preview" if job.preview else "sync" if self._whole else "single")
        self._log = logger.bind(profile=name, run=self.id)
        self._log.bind(action="run_begin").info("run {} of profile {} begins", self.id, name)

    def read(self, snapshot: Snapshot) -> None:
        """Note what the snapshot says of itself, and keep no hold of it: it is the largest thing there is."""
        self._source = {
            "snapshot": snapshot_counts(snapshot),
            "proof": proof_summary(snapshot.proof),
            "source_calls": snapshot.calls,
        }
        self.notices += snapshot.notices
        self._log.bind(action="read").info(
            "read {} schools, {} sections, {} students, {} teachers in {} calls",
            len(snapshot.schools),
            len(snapshot.sections),
            len(snapshot.students),
            len(snapshot.teachers),
            snapshot.calls,
        )

    def measured(self, measure: Measure) -> None:
        """Note how the snapshot compares with the last accepted one: sentences, and issues on schools."""
        self.notices += measure.notices
        for issue in (anomaly.issue for anomaly in measure.anomalies):
            if issue is not None:
                self.issues.add(issue)

    def finish(self, decision: Decision) -> RunSummary:
        """Close the run after everything was decided and done."""
        summary = self._summary(self._status(decision))
        summary.planned = count_changes(decision.plan.changes)
        summary.skipped = count_withheld(decision.plan.skipped)
        summary.held = count_withheld(decision.plan.held)
        summary.held_number = decision.held_number if decision.plan.held else None
        summary.only = str(decision.only) if decision.only is not None else None
        summary.elsewhere = decision.elsewhere
        changes, groups = decision.plan.changes, decision.license_groups
        summary.seats = forecast_seats(changes, decision.world.facts.skus, groups)
        self.notices += seats_not_told(changes, groups)
        if not self._job.preview:
            self._record_issues(None if decision.only is None else {decision.only})
            if self._whole:
                self._judge_profile(sum(summary.issues.values()))
        return self._close(summary)

    def _close(self, summary: RunSummary) -> RunSummary:
        for notice in self.notices:
            self._log.bind(action="notice").log("DEBUG" if notice in self._said else "WARNING", "{}", notice)
        self._job.store.runs.finish(self.id, summary.status, summary.as_json())
        self._log.bind(action="run_end").info(
            "run {} ended: {}; {} changes applied, {} held, {} skipped, {} issues",
            self.id,
            summary.status,
            sum(summary.applied.values()),
            sum(summary.held.values()),
            sum(summary.skipped.values()),
            sum(summary.issues.values()),
        )
        return summary

    def repeat(self, settled: Settled, unchanged: Unchanged, facts: TenantFacts) -> RunSummary:
        """Close a run that found everything as that one had left it, as if it had worked everything out once more.

        Nothing but the record of runs is written: issues, drift and held changes are the same, and were met again.
        """
        job, store, name = self._job, self._job.store, self._job.profile.name
        self.notices += list(dict.fromkeys([*unchanged.notices, *settled.notices]))
        self._log.bind(action="read").info(
            "the source is as run {} read it, found out in {} calls", settled.run, unchanged.calls
        )
        summary = summary_of(job, settled)
        summary.run, summary.repeats = self.id, summary.repeats or settled.run
        summary.source_calls, summary.requests = unchanged.calls, job.target.counts()
        summary.notices, summary.seconds = self.notices, round(time.monotonic() - self._started, 3)
        store.runs.identify(self.id, settled.source_uuid, facts.tenant_id)
        store.issues.seen_again(name, self.id)
        store.drift.seen_again(name, (DriftCode.REMOVED, DriftCode.DELETED), settled.at)
        if settled.ground.held is not None:
            store.held.put_again(self.id, settled.ground.held[0])
        self._judge_profile(sum(summary.issues.values()))
        return self._close(summary)

    def interrupted(self) -> RunSummary:
        """Close a run asked to stop before it wrote (a stop while writing ends as usual, with the rest deferred)."""
        summary = self._summary(INTERRUPTED)
        self._job.store.runs.finish(self.id, INTERRUPTED, summary.as_json())
        self._log.bind(action="run_end").info("run {} was asked to stop", self.id)
        return summary

    def failed(self, error: SdsError) -> None:
        """Close a run that could not be carried out."""
        status = HELD if isinstance(error, SafetyStop) else FAILED
        self._job.store.runs.finish(self.id, status, self._summary(status).as_json(), str(error))
        if not self._job.preview and self._whole:
            self._count_failure(error)
        level = "DEBUG" if self._job.preview else "ERROR"  # a preview's number is that of a copy, and nobody's
        self._log.bind(action="run_end").log(level, "run {} {}: {}", self.id, status, error)

    def _record_issues(self, resolve: set[Ref] | None) -> None:
        report = self._job.store.issues.record(self._job.profile.name, self.id, self.issues.all(), resolve=resolve)
        for issue in report.new:
            self._log.bind(action="issue").warning("issue {} at {}: {}", issue.code, issue.ref, issue.detail)
        for issue in report.resolved:
            self._log.bind(action="issue_resolved").info("resolved: {} at {}", issue.code, issue.ref)

    def _judge_profile(self, errors: int) -> None:
        profile, profiles = self._job.profile, self._job.store.profiles
        if errors > profile.limits.max_issues:
            profiles.quarantine(profile.name, f"{errors} issues, limits.max_issues is {profile.limits.max_issues}")
        else:
            profiles.succeeded(profile.name)

    def _count_failure(self, error: SdsError) -> None:
        store, name = self._job.store, self._job.profile.name
        if isinstance(error, TooManyIssues):
            self._record_issues(None)
            store.profiles.quarantine(name, str(error))
            return
        if isinstance(error, SourceShrank):
            store.source_stops.put(name, self.id, error.counts, error.schools)
        store.profiles.failed(name, str(error))

    def _status(self, decision: Decision) -> str:
        if self._job.preview:
            return PREVIEW
        if self._job.stop() and self.ledger is not None and self.ledger.unapplied[Result.DEFERRED]:
            return INTERRUPTED
        if decision.plan.held:
            return HELD
        if not decision.plan.changes:
            return NOTHING_TO_DO
        deferred = self.ledger is not None and bool(self.ledger.unapplied)
        return SUCCESS_WITH_ISSUES if deferred or self._errors() else SUCCESS

    def _errors(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for issue in self.issues.all():
            if issue.severity is Severity.ERROR:
                counts[issue.code.value] = counts.get(issue.code.value, 0) + 1
        return counts

    def _summary(self, status: str) -> RunSummary:
        ledger = self.ledger
        applied = {kind.value: count for kind, count in ledger.applied.items()} if ledger else {}
        return RunSummary(
            run=self.id,
            profile=self._job.profile.name,
            status=status,
            **self._source,
            applied=dict(sorted(applied.items())),
            issues=self._errors(),
            requests=self._job.target.counts(),
            seconds=round(time.monotonic() - self._started, 3),
            deferred=sum(n for r, n in ledger.unapplied.items() if r.value == "deferred") if ledger else 0,
            failed=sum(n for r, n in ledger.unapplied.items() if r.value == "failed") if ledger else 0,
            notices=self.notices,
        )


def _notices_of_last(job: Job) -> frozenset[str]:
    """What the run before said: a sentence is worth a warning once, not every cycle."""
    last = job.store.runs.last(job.profile.name)
    return frozenset(last.summary.get("notices", ())) if last is not None else frozenset()
