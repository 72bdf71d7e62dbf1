"""The run's ledger: intentions before requests, outcomes after them, and what they change in our record."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from pathlib import Path

from sds_daemon.clock import Clock
from sds_daemon.errors import StateError
from sds_daemon.ownership import give_to_folder_owner
from sds_daemon.plan.attributes import ACCOUNT_IDENTITY
from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Directory, Link, Links, Membership, Memberships, Store
from sds_daemon.sync.plan_memberships import ADD, REMOVE, ROLE_OF
from sds_daemon.sync.world import IssueList
from sds_daemon.targets.base import DirectoryGroup, DirectorySchool, DirectoryUser

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
    """The hand-out list of a profile's new accounts: CSV, mode 0600, each line fsynced before its request goes out."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def append(self, ref: Ref, upn: str, password: str) -> None:
        """Add a line. Raises StateError when the file cannot be written: then no account is made."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8", newline="") as stream:
                os.fchmod(descriptor, 0o600)
                new = stream.tell() == 0
                if new:
                    give_to_folder_owner(self._path)
                    csv.writer(stream).writerow(["created", "kind", "sis_id", "user_principal_name", "password"])
                stamp = self._clock.now().astimezone(UTC).isoformat(timespec="seconds")
                csv.writer(stream).writerow([stamp, ref.kind.value, ref.sis_id, upn, password])
                stream.flush()
                os.fsync(stream.fileno())
            if new:
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
        objects: Mapping[Ref, str],
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
        self._objects = dict(objects)
        self.applied: Counter[ChangeKind] = Counter()
        self.unapplied: Counter[Result] = Counter()
        self.group_mail: dict[Ref, str] = {}

    def intend(self, changes: Sequence[Change]) -> None:
        """Durable before the request goes out."""
        self._store.runs.intend(self._run_id, changes)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes and what follows from them, in this order: links, memberships, the change itself.

        A crash in between leaves the change unsettled, and the next run finds the link and settles nothing twice.
        """
        succeeded = [outcome for outcome in outcomes if outcome.result in SUCCESS]
        self._link(succeeded)
        self._restore(outcomes)
        self._write_attributes(succeeded)
        self._memberships.add([_membership(o.change) for o in succeeded if o.change.kind in ADD_KINDS], self._run_id)
        self._memberships.remove([_membership(o.change) for o in succeeded if o.change.kind in REMOVE_KINDS])
        self._store.runs.settle(self._run_id, outcomes)
        for outcome in outcomes:
            self._count(outcome)
        self._on_settled(len(outcomes))

    def object_id(self, ref: Ref) -> str | None:
        """The linked object, also one made earlier in this run."""
        return self._objects.get(ref)

    def keep_password(self, ref: Ref, upn: str, password: str) -> None:
        """Write the hand-out line, unless the profile keeps none."""
        if self._passwords is not None:
            self._passwords.append(ref, upn, password)

    def _link(self, outcomes: Sequence[Outcome]) -> None:
        links = [self._new_link(o) for o in outcomes if o.change.kind in MAKES_LINK and o.object_id]
        self._links.put(links)
        self._objects.update({link.ref: link.object_id for link in links})
        for outcome in outcomes:
            if outcome.change.kind in MAKES_LINK and outcome.object_id:
                self._remember(outcome.change, outcome.object_id)
        for outcome in outcomes:
            if "mail" in outcome.extra:
                self.group_mail[outcome.change.subject] = str(outcome.extra["mail"])

    def _remember(self, change: Change, object_id: str) -> None:
        """Put a new object into the directory cache at once: reads may not show it for minutes."""
        values = change.values
        if change.subject.kind is RecordKind.SCHOOL:
            name = str(values.get("display_name", ""))
            self._directory.remember_school(DirectorySchool(id=object_id, display_name=name))
        elif change.subject.kind is RecordKind.SECTION:
            alias, name = str(values.get("mail_nickname", "")), str(values.get("display_name", ""))
            self._directory.remember_group(DirectoryGroup(id=object_id, display_name=name, mail_nickname=alias))
        elif "user_principal_name" in values:
            upn, alias = str(values["user_principal_name"]), str(values["mail_nickname"])
            self._directory.remember_user(DirectoryUser(id=object_id, upn=upn, mail_nickname=alias))

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
        self._links.write_many({o.change.subject: o.change.values for o in outcomes if o.change.kind in UPDATES})
        self._links.licensed([o.change.subject for o in outcomes if o.change.kind is ChangeKind.ASSIGN_LICENSE])

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


def _membership(change: Change) -> Membership:
    if change.member is None:
        raise AssertionError(f"{change.kind} without a member")
    return Membership(container=change.subject, member=change.member, role=ROLE_OF[change.kind])
