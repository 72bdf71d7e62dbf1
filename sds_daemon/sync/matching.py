"""Who is who: which account each student and teacher has, which are to be made, and what stands in the way.

`match_people` is the list of steps. Each step takes the people the ones before it left open, looks them up in bulk,
and settles those it can: a link, a new account, or an issue. Nothing is written and nothing depends on the order in
which the source gave its records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from typing import Literal, Protocol

import msgspec

from sds_daemon.config.settings import Profile
from sds_daemon.plan.issues import Issue, IssueCode
from sds_daemon.roster.records import RecordKind, Ref, Snapshot
from sds_daemon.sync.naming import AccountNames, account_names
from sds_daemon.sync.people import PERSON_KINDS, Claims, PersonView, everyone, view_of
from sds_daemon.targets.base import DirectoryUser

ANCHOR_RULE = "anchor"
FEW = 500
"""Up to so many unlinked people their marks are looked up by id; beyond, all marks are read at once."""

TargetProperty = Literal["userPrincipalName", "mail", "mailNickname"]
NAME_HOLDERS: tuple[TargetProperty, ...] = ("userPrincipalName", "mail")
"""Where a sign-in name may be held already: Entra refuses a name that is anybody's address, too."""


UserKey = Literal["userPrincipalName", "mail", "mailNickname"]


class LinkLike(Protocol):
    """What matching reads of a stored link."""

    @property
    def object_id(self) -> str:
        """The directory object."""

    @property
    def profile(self) -> str:
        """The profile that owns the link."""


class LinkView(Protocol):
    """The links of a source and tenant, of every profile (the store offers it)."""

    def all(self, kind: RecordKind, /) -> Mapping[str, LinkLike]:
        """Links of one kind by SIS ID."""


class DirectoryLookup(Protocol):
    """The directory as last read (the store offers it). Deleted objects are found by the last two alone."""

    def users_by(self, target: UserKey, values: Iterable[str], /) -> Mapping[str, list[DirectoryUser]]:
        """Users whose userPrincipalName, mail or mailNickname equals a value, by the value in lower case."""

    def users_by_anchor(
        self, source_uuid: str, sis_ids: Collection[str] | None, /
    ) -> Mapping[tuple[RecordKind, str], list[DirectoryUser]]:
        """Users that carry the mark of this source, by record; those of a few SIS IDs, or (None) all."""

    def deleted(self, kind: str, ids: Iterable[str], /) -> Collection[str]:
        """Which of these are in the recycle bin, or gone for good."""

    def purged(self, kind: str, ids: Iterable[str], /) -> Collection[str]:
        """Which of these are gone for good."""


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """A link to be stored. `rule` is "anchor" or "SOURCE_PROPERTY[@suffix]=TARGET_PROPERTY"; `created`: we made it.

    `licenses_due`: we made it, and its licences are still to be assigned.
    """

    ref: Ref
    object_id: str
    rule: str
    created: bool = False
    licenses_due: bool = False


class ToCreate(msgspec.Struct, frozen=True, kw_only=True):
    """An account to be made."""

    ref: Ref
    names: AccountNames


class MatchResult(msgspec.Struct, kw_only=True):
    """What is known of the snapshot's people. Everybody is in exactly one of `linked`, `creates` and `issues`.

    `linked`: usable accounts, those in `matched` included. `foreign`: linked by another profile, so used but not owned.
    """

    linked: dict[Ref, str]
    matched: list[Matched]
    creates: list[ToCreate]
    issues: list[Issue]
    foreign: set[Ref]


def match_people(
    snapshot: Snapshot,
    profile: Profile,
    *,
    links: LinkView,
    directory: DirectoryLookup,
    source_uuid: str,
    domains: Collection[str] = (),
) -> MatchResult:
    """Match a snapshot's people. `domains`: the tenant's verified ones; none given, none checked.

    Links first (kept whatever was renamed), then marks on the directory's side (a lost database makes no second
    account), then the identity rule, then accounts to be made.
    """
    matching = _Matching(profile, links, directory, source_uuid, {domain.lower() for domain in domains})
    unlinked = matching.keep_links(snapshot)
    unmarked = matching.adopt_anchors(unlinked)
    homeless = matching.apply_rules(unmarked) if profile.users != "create" else unmarked
    matching.create(homeless)
    return matching.result()


class _Matching:
    """The state of one `match_people`. Each step returns the people it left open."""

    def __init__(
        self, profile: Profile, links: LinkView, directory: DirectoryLookup, source_uuid: str, domains: set[str]
    ) -> None:
        self._profile = profile
        self._links = {kind: links.all(kind) for kind in PERSON_KINDS}
        self._directory = directory
        self._source_uuid = source_uuid
        self._domains = domains
        self._linked: dict[Ref, str] = {}
        self._matched: list[Matched] = []
        self._creates: list[ToCreate] = []
        self._issues: list[Issue] = []
        self._foreign: set[Ref] = set()

    @cached_property
    def _holders(self) -> dict[str, Ref]:
        """The record each account is linked to. Not asked for while everybody is linked already."""
        return {
            link.object_id: Ref(kind, sis_id) for kind, by_id in self._links.items() for sis_id, link in by_id.items()
        }

    def result(self) -> MatchResult:
        """Everything found, in an order that depends on the records alone."""
        return MatchResult(
            linked=self._linked,
            matched=sorted(self._matched, key=lambda matched: matched.ref),
            creates=sorted(self._creates, key=lambda create: create.ref),
            issues=sorted(self._issues, key=lambda issue: (issue.ref, issue.code)),
            foreign=self._foreign,
        )

    def keep_links(self, snapshot: Snapshot) -> list[PersonView]:
        """Links hold, whatever was renamed, until their object is purged; one in the recycle bin is an issue."""
        ids = [link.object_id for by_id in self._links.values() for link in by_id.values()]
        deleted = frozenset(self._directory.deleted("user", ids))
        purged = frozenset(self._directory.purged("user", deleted))
        unlinked: list[PersonView] = []
        for ref, person in everyone(snapshot):
            link = self._links[ref.kind].get(ref.sis_id)
            if link is None or link.object_id in purged:
                unlinked.append(view_of(person, self._profile))
            elif link.object_id in deleted:
                self._refuse(ref, IssueCode.OBJECT_DELETED, "the linked account is in the directory's recycle bin")
            else:
                self._use(ref, link)
        return unlinked

    def _use(self, ref: Ref, link: LinkLike) -> None:
        self._linked[ref] = link.object_id
        if link.profile != self._profile.name:
            self._foreign.add(ref)

    def adopt_anchors(self, people: list[PersonView]) -> list[PersonView]:
        """An account that carries a record's mark is that record's account."""
        if not people:
            return []
        few = {view.ref.sis_id for view in people} if len(people) <= FEW else None
        anchored = self._directory.users_by_anchor(self._source_uuid, few)
        open_: list[PersonView] = []
        for view in people:
            marked = anchored.get((view.ref.kind, view.ref.sis_id), [])
            if not marked:
                open_.append(view)
            elif len(marked) > 1:
                self._refuse(view.ref, IssueCode.DUPLICATE_TARGET, f"{len(marked)} accounts carry this record's mark")
            elif (holder := self._holders.get(marked[0].id)) is not None:
                self._refuse_held(view, holder)
            else:
                self._link(view.ref, marked[0].id, ANCHOR_RULE, created=self._profile.users == "create")
        return open_

    def apply_rules(self, people: list[PersonView]) -> list[PersonView]:
        """The identity rule: whole text equals whole text, upper and lower case alike."""
        found = self._candidates(people)
        claims = Claims(self._holders)
        open_: list[PersonView] = []
        claiming: list[tuple[PersonView, str]] = []
        for view in people:
            candidates = found(view)
            if not view.value:
                self._refuse(view.ref, IssueCode.MISSING_ATTRIBUTE, f"{view.field} is empty, and matched on")
            elif not candidates:
                open_.append(view)
            elif len(candidates) > 1:
                detail = f"{len(candidates)} accounts have this {view.rules.target_property}"
                self._refuse(view.ref, IssueCode.DUPLICATE_TARGET, detail, view.value)
            else:
                claims.claim(view.ref, candidates[0].id)
                claiming.append((view, candidates[0].id))
        for view, object_id in claiming:
            self._settle_claim(view, object_id, claims)
        return open_

    def _candidates(self, people: list[PersonView]) -> Callable[[PersonView], list[DirectoryUser]]:
        """Look all values up at once, one question per target property; the answer per person."""
        wanted: defaultdict[UserKey, set[str]] = defaultdict(set)
        for view in people:
            if view.value:
                wanted[view.rules.target_property].add(view.value.lower())
        found = {target: self._directory.users_by(target, sorted(values)) for target, values in wanted.items()}
        return lambda view: found.get(view.rules.target_property, {}).get(view.value.lower(), []) if view.value else []

    def _settle_claim(self, view: PersonView, object_id: str, claims: Claims) -> None:
        rival = claims.rival(view.ref, object_id)
        if rival is None:
            self._link(view.ref, object_id, _rule_text(view))
        elif claims.teacher_has(view.ref, object_id):
            self._refuse_role(view, rival, view.value)
        else:
            self._refuse(view.ref, IssueCode.DUPLICATE_TARGET, f"{rival} claims the same account", view.value)

    def create(self, people: list[PersonView]) -> None:
        """Make accounts for those without one, or say that they have none."""
        if not self._profile.creates:
            for view in people:
                detail = f"no account has this {view.rules.target_property}"
                self._refuse(view.ref, IssueCode.UNMATCHED, detail, view.value)
            return
        named = [named for view in people if (named := self._named(view)) is not None]
        upns = sorted({names.user_principal_name.lower() for _, names in named})
        taken = [self._directory.users_by(target, upns) for target in NAME_HOLDERS] if upns else []
        claims = Claims({})
        for view, names in named:
            claims.claim(view.ref, names.user_principal_name.lower())
        for view, names in named:
            upn = names.user_principal_name.lower()
            self._settle_create(view, names, claims, [user for answer in taken for user in answer.get(upn, [])])

    def _named(self, view: PersonView) -> tuple[PersonView, AccountNames] | None:
        domain = view.rules.domain or ""
        if self._domains and domain.lower() not in self._domains:
            detail = f"{domain or 'no domain'} is not a verified domain of the tenant"
            self._refuse(view.ref, IssueCode.WRONG_DOMAIN, detail)
            return None
        names = account_names(view.person, view.rules, replace=self._profile.replace_invalid_characters)
        if isinstance(names, Issue):
            self._issues.append(names)
            return None
        return view, names

    def _settle_create(self, view: PersonView, names: AccountNames, claims: Claims, taken: list[DirectoryUser]) -> None:
        upn = names.user_principal_name
        rival = claims.rival(view.ref, upn.lower())
        owners = (owner for user in taken if (owner := self._owner(user)) is not None)
        owner = min(owners, key=str, default=None)  # whatever order the directory gives
        if owner is not None and _student_of_teacher(view.ref, owner):
            self._refuse_role(view, owner, upn)
        elif taken:
            whose = f"the account of {owner}" if owner is not None else "an account without our mark"
            self._refuse(view.ref, IssueCode.UPN_TAKEN, f"the sign-in name is held by {whose}", upn)
        elif rival is not None and claims.teacher_has(view.ref, upn.lower()):
            self._refuse_role(view, rival, upn)
        elif rival is not None:
            self._refuse(view.ref, IssueCode.DUPLICATE_TARGET, f"{rival} has the same Username", upn)
        else:
            self._creates.append(ToCreate(ref=view.ref, names=names))

    def _owner(self, user: DirectoryUser) -> Ref | None:
        """The record of this source whose account it is, by link or by mark."""
        holder = self._holders.get(user.id)
        if holder is None and user.anchor is not None and user.anchor.source_uuid == self._source_uuid:
            return Ref(user.anchor.kind, user.anchor.sis_id)
        return holder

    def _link(self, ref: Ref, object_id: str, rule: str, *, created: bool = False) -> None:
        self._holders[object_id] = ref
        self._linked[ref] = object_id
        self._matched.append(Matched(ref=ref, object_id=object_id, rule=rule, created=created))

    def _refuse_held(self, view: PersonView, holder: Ref) -> None:
        if _student_of_teacher(view.ref, holder):
            self._refuse_role(view, holder, view.value)
        else:
            detail = f"the account that carries this record's mark is linked to {holder}"
            self._refuse(view.ref, IssueCode.DUPLICATE_TARGET, detail, view.value)

    def _refuse_role(self, view: PersonView, teacher: Ref, value: str) -> None:
        self._refuse(view.ref, IssueCode.ROLE_CONFLICT, f"the account belongs to {teacher}", value)

    def _refuse(self, ref: Ref, code: IssueCode, detail: str, joining_value: str = "") -> None:
        self._issues.append(Issue(ref=ref, code=code, detail=detail, joining_value=joining_value))


def _student_of_teacher(ref: Ref, other: Ref) -> bool:
    return ref.kind is RecordKind.STUDENT and other.kind is RecordKind.TEACHER


def _rule_text(view: PersonView) -> str:
    suffix = f"@{view.rules.suffix}" if view.rules.suffix else ""
    return f"{view.rules.source_property}{suffix}={view.rules.target_property}"
