"""The run's ledger: intentions before requests, outcomes after them, and what they change in our record."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import UTC
from itertools import islice
from pathlib import Path

from sds_daemon.clock import Clock
from sds_daemon.errors import StateError
from sds_daemon.ownership import give_to_folder_owner
from sds_daemon.plan.attributes import ACCOUNT_IDENTITY
from sds_daemon.plan.change import LICENSINGS, Change, ChangeKind, Outcome, Result
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Directory, Link, Links, Membership, Memberships, Store
from sds_daemon.sync.known import Known
from sds_daemon.sync.plan_memberships import ADD, REMOVE, ROLE_OF
from sds_daemon.sync.world import IssueList
from sds_daemon.targets.base import DirectoryGroup, DirectorySchool, DirectoryUser, NewPassword

SOME = 5000
"""Outcomes made at a time, where very many are put off."""
SUCCESS = frozenset({Result.DONE, Result.ALREADY})
ADD_KINDS = frozenset(ADD.values())
REMOVE_KINDS = frozenset(REMOVE.values())
MAKES_LINK = frozenset(
    {
        ChangeKind.CREATE_SCHOOL,
        ChangeKind.CREATE_USER,
        ChangeKind.CREATE_CLASS,
        ChangeKind.ADOPT_CLASS,
        ChangeKind.ADOPT_USER,
    }
)
UPDATES = frozenset({ChangeKind.UPDATE_SCHOOL, ChangeKind.UPDATE_USER, ChangeKind.UPDATE_CLASS})


class PasswordFile:
    """The hand-out list of a profile's new accounts: CSV, mode 0600, on the disk before a request goes out."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def append(self, passwords: Sequence[NewPassword]) -> None:
        """Add lines. Raises StateError when the file cannot be written: then no account is made."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8", newline="") as stream:
                os.fchmod(descriptor, 0o600)
                empty = stream.tell() == 0
                if empty:
                    give_to_folder_owner(self._path)
                    csv.writer(stream).writerow(["created", "kind", "sis_id", "user_principal_name", "password"])
                stamp = self._clock.now().astimezone(UTC).isoformat(timespec="seconds")
                csv.writer(stream).writerows(
                    [stamp, new.ref.kind.value, new.ref.sis_id, new.upn, new.password] for new in passwords
                )
                stream.flush()
                os.fsync(stream.fileno())
            if empty:
                self._keep_name()
        except OSError as error:
            raise StateError(
                f"the password file {self._path} cannot be written: {error.strerror}",
                remedy="make room or correct the permissions; no account is made without it",
            ) from error

    def _keep_name(self) -> None:
        """The file's entry in its folder survives a power cut as well."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class RunLedger:
    """Implements targets.base.Ledger for one run of one profile."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        run_id: int,
        profile: str,
        links: Links,
        memberships: Memberships,
        directory: Directory,
        known: Known,
        issues: IssueList,
        licensed_kinds: frozenset[str],
        passwords: PasswordFile | None,
        on_settled: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._run_id = run_id
        self._profile = profile
        self._links = links
        self._memberships = memberships
        self._directory = directory
        self._issues = issues
        self._licensed_kinds = licensed_kinds
        self._passwords = passwords
        self._on_settled = on_settled
        self._known = known
        self._made: dict[Ref, str] = {}
        self.applied: Counter[ChangeKind] = Counter()
        self.unapplied: Counter[Result] = Counter()
        self.group_mail: dict[Ref, str] = {}

    def together(self) -> AbstractContextManager[object]:
        """One transaction for what is called inside."""
        return self._store.transaction()

    def intend(self, changes: Sequence[Change]) -> None:
        """Durable before the request goes out."""
        self._store.runs.intend(self._run_id, changes)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes and what follows from them in one transaction: links, memberships, the changes themselves.

        A crash before it ends leaves the changes unsettled, and the next run finds the objects by their names.
        """
        succeeded = [outcome for outcome in outcomes if outcome.result in SUCCESS]
        added = [_membership(o.change) for o in succeeded if o.change.kind in ADD_KINDS]
        removed = [_membership(o.change) for o in succeeded if o.change.kind in REMOVE_KINDS]
        with self._store.transaction():
            self._link(succeeded)
            self._restore(outcomes)
            self._write_attributes(succeeded)
            if added:
                self._memberships.add(added, self._run_id)
            if removed:
                self._memberships.remove(removed)
            self._store.runs.settle(self._run_id, outcomes)
        for outcome in outcomes:
            self._count(outcome)
        self._on_settled(len(outcomes))

    def put_off(self, changes: Collection[Change], detail: str) -> None:
        """One statement for everything; row by row only where the record does not hold just these."""
        with self._store.transaction():
            if self._store.runs.put_off(self._run_id, detail) != len(changes):
                outcomes = (Outcome(change=change, result=Result.DEFERRED, detail=detail) for change in changes)
                while some := list(islice(outcomes, SOME)):
                    self._store.runs.settle(self._run_id, some)
        self.unapplied[Result.DEFERRED] += len(changes)
        self._on_settled(len(changes))

    def object_id(self, ref: Ref) -> str | None:
        """The linked object, also one made earlier in this run."""
        return self._made.get(ref) or self._known.object_id(ref)

    def keep_passwords(self, passwords: Sequence[NewPassword]) -> None:
        """Write the hand-out lines, unless the profile keeps none."""
        if self._passwords is not None:
            self._passwords.append(passwords)

    def _link(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if "mail" in outcome.extra:
                self.group_mail[outcome.change.subject] = str(outcome.extra["mail"])
        made = [outcome for outcome in outcomes if outcome.change.kind in MAKES_LINK and outcome.object_id]
        if made:
            self._links.put([self._new_link(outcome) for outcome in made])
            self._made.update({outcome.change.subject: outcome.object_id or "" for outcome in made})
            self._remember(made)

    def _remember(self, made: Sequence[Outcome]) -> None:
        """Put new objects into the directory cache at once: reads may not show them for minutes."""
        schools = [_school(o) for o in made if o.change.subject.kind is RecordKind.SCHOOL]
        groups = [_group(o) for o in made if o.change.subject.kind is RecordKind.SECTION]
        users = [_user(o) for o in made if "user_principal_name" in o.change.values]
        if schools:
            self._directory.remember_schools(schools)
        if groups:
            self._directory.remember_groups(groups)
        if users:
            self._directory.remember_users(users)

    def _restore(self, outcomes: Sequence[Outcome]) -> None:
        """A group brought back is there again; one that was not in the recycle bin is gone for good."""
        restores = [outcome for outcome in outcomes if outcome.change.kind is ChangeKind.RESTORE_CLASS]
        back = [o.change.object_id for o in restores if o.result in SUCCESS and o.change.object_id]
        gone = [o.change.object_id for o in restores if o.status == 404 and o.change.object_id]
        if back:
            self._directory.revive("group", back)
        if gone:
            self._directory.forget("group", gone, purged=True)

    def _new_link(self, outcome: Outcome) -> Link:
        change = outcome.change
        unwritten = {*ACCOUNT_IDENTITY, *outcome.extra.get("unwritten", ())}
        written = {name: value for name, value in change.values.items() if name not in unwritten}
        adopted = change.kind in {ChangeKind.ADOPT_CLASS, ChangeKind.ADOPT_USER}
        return Link(
            ref=change.subject,
            object_id=outcome.object_id or "",
            profile=self._profile,
            created=not adopted,
            rule="adopted" if adopted else "created",
            licenses_due=change.kind is ChangeKind.CREATE_USER and change.subject.kind.value in self._licensed_kinds,
            written=written,
            linked_at=self._clock.now(),
        )

    def _write_attributes(self, outcomes: Sequence[Outcome]) -> None:
        written = {o.change.subject: o.change.values for o in outcomes if o.change.kind in UPDATES}
        licensed = [o.change.subject for o in outcomes if o.change.kind in LICENSINGS]
        if written:
            self._links.write_many(written)
        if licensed:
            self._links.licensed(licensed)

    def _count(self, outcome: Outcome) -> None:
        if outcome.result in SUCCESS:
            self.applied[outcome.change.kind] += 1
            return
        self.unapplied[outcome.result] += 1
        if outcome.result is Result.FAILED:
            self._issues.add(issue_of(outcome))


def issue_of(outcome: Outcome) -> Issue:
    """The issue a failed change becomes: about the person for memberships, about the written record otherwise."""
    change = outcome.change
    ref = change.member if change.member is not None else change.subject
    code = IssueCode(outcome.code) if outcome.code in set(IssueCode) else IssueCode.REFUSED
    about = f" ({change.subject})" if change.member is not None else ""
    return Issue(ref=ref, code=code, detail=f"{change.kind.value}{about}: {outcome.detail}", severity=Severity.ERROR)


def _school(made: Outcome) -> DirectorySchool:
    return DirectorySchool(id=made.object_id or "", display_name=str(made.change.values.get("display_name", "")))


def _group(made: Outcome) -> DirectoryGroup:
    values = made.change.values
    alias, name = str(values.get("mail_nickname", "")), str(values.get("display_name", ""))
    return DirectoryGroup(id=made.object_id or "", display_name=name, mail_nickname=alias)


def _user(made: Outcome) -> DirectoryUser:
    upn, alias = str(made.change.values["user_principal_name"]), str(made.change.values["mail_nickname"])
    return DirectoryUser(id=made.object_id or "", upn=upn, mail_nickname=alias)


def _membership(change: Change) -> Membership:
    if change.member is None:
        raise AssertionError(f"{change.kind} without a member")
    return Membership(container=change.subject, member=change.member, role=ROLE_OF[change.kind])
