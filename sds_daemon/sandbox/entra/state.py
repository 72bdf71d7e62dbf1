"""The directory itself: users, groups and administrative units, their indices, links and change log.

Nothing here speaks HTTP or checks permissions. Every write is visible to uniqueness checks at once, to reads from the
moment given as `seen_at` (sandbox seconds of the clock): that gap is the replication lag.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Generic, TypeVar

from sds_daemon.sandbox.clock import SandboxClock

RETENTION_DAYS = 30.0


class Entity:
    """One directory object. `props` are Graph's properties, `edu` those of its education side (None: it has none)."""

    __slots__ = ("created", "deleted_at", "edu", "id", "old", "props", "purged", "seen_at", "units")

    def __init__(self, entity_id: str, props: dict[str, Any], edu: dict[str, Any] | None, seen_at: float) -> None:
        self.id = entity_id
        self.props = props
        self.edu = edu
        self.seen_at = seen_at
        self.old: tuple[float, dict[str, Any], dict[str, Any] | None] | None = None
        self.deleted_at: float | None = None
        self.purged = False
        self.units: dict[str, None] = {}

    @property
    def alive(self) -> bool:
        """Neither soft-deleted nor purged."""
        return self.deleted_at is None and not self.purged

    def visible(self, now: float) -> bool:
        """Whether a read at `now` finds it."""
        return self.seen_at <= now and self.deleted_at is None and not self.purged

    def view(self, now: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """(props, edu) as a read at `now` sees them: the previous state while the last update has not spread."""
        if self.old is not None:
            if now < self.old[0]:
                return self.old[1], self.old[2] or {}
            self.old = None
        return self.props, self.edu or {}


class User(Entity):
    """A person. `licenses` maps SKU id to the disabled plans; `groups` and `owned` are the groups' ids.

    `inherited` maps SKU id to the licensed groups that give it, `unlicensed` (group, SKU) to why it could not be given.
    """

    __slots__ = ("groups", "inherited", "licenses", "manager", "owned", "password_set", "unlicensed")

    def __init__(self, entity_id: str, props: dict[str, Any], edu: dict[str, Any] | None, seen_at: float) -> None:
        super().__init__(entity_id, props, edu, seen_at)
        self.licenses: dict[str, list[str]] = {}
        self.inherited: dict[str, set[str]] = {}
        self.unlicensed: dict[tuple[str, str], str] = {}
        self.groups: dict[str, None] = {}
        self.owned: dict[str, None] = {}
        self.password_set = False
        self.manager: str | None = None


class Group(Entity):
    """A group; `members` and `owners` map object ids to the time from which reads see the link."""

    __slots__ = ("licenses", "members", "owners")

    def __init__(self, entity_id: str, props: dict[str, Any], edu: dict[str, Any] | None, seen_at: float) -> None:
        super().__init__(entity_id, props, edu, seen_at)
        self.members: dict[str, float] = {}
        self.owners: dict[str, float] = {}
        self.licenses: dict[str, list[str]] = {}


class Unit(Entity):
    """An administrative unit, which is a school when it has an education side."""

    __slots__ = ("members",)

    def __init__(self, entity_id: str, props: dict[str, Any], edu: dict[str, Any] | None, seen_at: float) -> None:
        super().__init__(entity_id, props, edu, seen_at)
        self.members: dict[str, float] = {}


E = TypeVar("E", bound=Entity)
Links = tuple[tuple[str, bool], ...]


class Change:
    """One entry of a change log: changed property names, or links added (True) and removed (False)."""

    __slots__ = ("entity", "links", "names", "relation", "seen_at")

    def __init__(
        self, entity: Entity, seen_at: float, names: frozenset[str] | None, relation: str, links: Links
    ) -> None:
        self.entity = entity
        self.seen_at = seen_at
        self.names = names
        self.relation = relation
        self.links = links


class Table(Generic[E]):
    """All objects of one kind, in order of creation (`order` keeps purged ones), with their change log."""

    def __init__(self) -> None:
        self.by_id: dict[str, E] = {}
        self.order: list[E] = []
        self.log: list[Change] = []
        self._spread = 0

    def add(self, entity: E) -> None:
        """Take in a new object."""
        self.by_id[entity.id] = entity
        self.order.append(entity)

    def seen(self, entity_id: str, now: float) -> E | None:
        """The object if a read at `now` finds it."""
        entity = self.by_id.get(entity_id)
        return entity if entity is not None and entity.visible(now) else None

    def changed(self, entity: E, seen_at: float, names: Iterable[str]) -> None:
        """Log a change of properties."""
        self.log.append(Change(entity, seen_at, frozenset(names), "", ()))

    def linked(self, entity: E, seen_at: float, relation: str, links: Links) -> None:
        """Log links added or removed."""
        self.log.append(Change(entity, seen_at, None, relation, links))

    def spread(self, now: float) -> int:
        """Length of the log's beginning that every read at `now` sees; nothing after a still hidden change counts."""
        while self._spread < len(self.log) and self.log[self._spread].seen_at <= now:
            self._spread += 1
        return self._spread


class Index:
    """Values (compared without case) to the ids of the objects that hold them."""

    def __init__(self) -> None:
        self._ids: dict[str, list[str]] = {}

    def get(self, value: str) -> list[str]:
        """Ids of the holders, oldest first."""
        return self._ids.get(value.lower(), [])

    def holder(self, value: str, other_than: str | None = None) -> str | None:
        """An object that holds the value, `other_than` not counted."""
        return next((found for found in self.get(value) if found != other_than), None)

    def move(self, entity_id: str, old: object, new: object) -> None:
        """Record that the object's value changed; anything but a non-empty str means no value."""
        if isinstance(old, str) and old:
            holders = self._ids.get(old.lower(), [])
            if entity_id in holders:
                holders.remove(entity_id)
            if not holders:
                self._ids.pop(old.lower(), None)
        if isinstance(new, str) and new:
            self._ids.setdefault(new.lower(), []).append(entity_id)


class Directory:
    """The tenant's objects. Methods keep indices, links and logs in step; they check nothing."""

    def __init__(self, clock: SandboxClock, seed: int) -> None:
        self.clock = clock
        self.users: Table[User] = Table()
        self.groups: Table[Group] = Table()
        self.units: Table[Unit] = Table()
        self.upns = Index()
        self.addresses = Index()
        self.user_nicknames = Index()
        self.group_nicknames = Index()
        self.immutable_ids = Index()
        self.unique_names = Index()
        self.external_ids = Index()
        self.trash: deque[tuple[float, str]] = deque()
        self.on_members: Callable[[Group, Iterable[str], bool], None] | None = None
        self._ids = Random(seed)

    def new_id(self) -> str:
        """A fresh object id, repeatable for a given seed."""
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def stamp(self) -> str:
        """The present time as Graph prints it."""
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def count(self) -> int:
        """Objects that count against the directory quota: living and soft-deleted ones."""
        return len(self.users.by_id) + len(self.groups.by_id) + len(self.units.by_id)

    def table_of(self, entity: Entity) -> Table[Any]:
        """The table that holds the object's kind."""
        if isinstance(entity, User):
            return self.users
        return self.groups if isinstance(entity, Group) else self.units

    def find(self, entity_id: str) -> Entity | None:
        """Any object by id, deleted ones included."""
        return self.users.by_id.get(entity_id) or self.groups.by_id.get(entity_id) or self.units.by_id.get(entity_id)

    def seen(self, entity_id: str, now: float) -> Entity | None:
        """Any object by id if reads find it."""
        entity = self.find(entity_id)
        return entity if entity is not None and entity.visible(now) else None

    def add(self, entity: Entity) -> None:
        """Take a new object in."""
        entity.props.setdefault("createdDateTime", self.stamp())
        table = self.table_of(entity)
        table.add(entity)
        table.changed(entity, entity.seen_at, ("id", *entity.props, *(entity.edu or ())))
        self._index(entity, {}, entity.props, {}, entity.edu or {})

    def update(self, entity: Entity, props: dict[str, Any], edu: dict[str, Any], seen_at: float) -> None:
        """Set properties; reads see the former state until `seen_at`."""
        changed = {name for name, value in props.items() if entity.props.get(name) != value}
        changed |= {name for name, value in edu.items() if (entity.edu or {}).get(name) != value}
        if not changed and (entity.edu is not None or not edu):
            return
        now = self.clock.monotonic()
        before, before_edu = entity.props, entity.edu
        if seen_at > now:
            shown, shown_edu = entity.view(now)
            entity.old = (seen_at, shown, shown_edu)
        else:
            entity.old = None
        entity.props = {**before, **props}
        if edu:
            entity.edu = {**(before_edu or {}), **edu}
        self._index(entity, before, entity.props, before_edu or {}, entity.edu or {})
        self.table_of(entity).changed(entity, seen_at, changed)

    def _index(
        self, entity: Entity, old: dict[str, Any], new: dict[str, Any], old_edu: dict[str, Any], new_edu: dict[str, Any]
    ) -> None:
        if isinstance(entity, User):
            pairs: tuple[tuple[Index, str], ...] = (
                (self.upns, "userPrincipalName"),
                (self.user_nicknames, "mailNickname"),
                (self.immutable_ids, "onPremisesImmutableId"),
            )
        elif isinstance(entity, Group):
            pairs = ((self.group_nicknames, "mailNickname"), (self.unique_names, "uniqueName"))
        else:
            pairs = ()
        for index, name in pairs:
            if old.get(name) != new.get(name):
                index.move(entity.id, old.get(name), new.get(name))
        if old_edu.get("externalId") != new_edu.get("externalId"):
            self.external_ids.move(entity.id, old_edu.get("externalId"), new_edu.get("externalId"))
        if old.get("proxyAddresses") != new.get("proxyAddresses"):
            for address in old.get("proxyAddresses") or ():
                self.addresses.move(entity.id, bare(address), None)
            for address in new.get("proxyAddresses") or ():
                self.addresses.move(entity.id, None, bare(address))

    def link(self, group: Group, relation: str, ids: Iterable[str], seen_at: float) -> None:
        """Add users (or other objects) as "members" or "owners"."""
        links = group.members if relation == "members" else group.owners
        added = []
        for object_id in ids:
            links[object_id] = seen_at
            added.append((object_id, True))
            user = self.users.by_id.get(object_id)
            if user is not None:
                (user.groups if relation == "members" else user.owned)[group.id] = None
        if added:
            self.groups.linked(group, seen_at, relation, tuple(added))
        if group.licenses and relation == "members" and self.on_members is not None:
            self.on_members(group, [object_id for object_id, _ in added], True)

    def unlink(self, group: Group, relation: str, object_id: str, seen_at: float) -> None:
        """Remove one link of a group."""
        links = group.members if relation == "members" else group.owners
        links.pop(object_id, None)
        user = self.users.by_id.get(object_id)
        if user is not None:
            (user.groups if relation == "members" else user.owned).pop(group.id, None)
        self.groups.linked(group, seen_at, relation, ((object_id, False),))
        if group.licenses and relation == "members" and self.on_members is not None:
            self.on_members(group, [object_id], False)

    def enter(self, unit: Unit, object_id: str, seen_at: float) -> None:
        """Make an object a member of an administrative unit."""
        unit.members[object_id] = seen_at
        entity = self.find(object_id)
        if entity is not None:
            entity.units[unit.id] = None
        self.units.linked(unit, seen_at, "members", ((object_id, True),))

    def leave(self, unit: Unit, object_id: str, seen_at: float) -> None:
        """Take an object out of an administrative unit."""
        unit.members.pop(object_id, None)
        entity = self.find(object_id)
        if entity is not None:
            entity.units.pop(unit.id, None)
        self.units.linked(unit, seen_at, "members", ((object_id, False),))

    def delete(self, entity: Entity, seen_at: float) -> None:
        """Soft-delete: out of sight, its names free, restorable for 30 days. A user's UPN is prefixed with its id."""
        now = self.clock.monotonic()
        if isinstance(entity, User):
            upn = entity.id.replace("-", "") + entity.props["userPrincipalName"]
            self.update(entity, {"userPrincipalName": upn}, {}, 0.0)
        self._index(entity, entity.props, self._without_names(entity), entity.edu or {}, {})
        entity.old = None
        entity.deleted_at = now
        entity.props = {**entity.props, "deletedDateTime": self.stamp()}
        self.trash.append((now + RETENTION_DAYS * 86_400, entity.id))
        self.table_of(entity).changed(entity, seen_at, ("deletedDateTime",))

    def _without_names(self, entity: Entity) -> dict[str, Any]:
        kept = {"userPrincipalName": entity.props.get("userPrincipalName")} if isinstance(entity, User) else {}
        return {name: value for name, value in kept.items() if value is not None}

    def restore(self, entity: Entity, seen_at: float) -> None:
        """Undo a soft deletion, links included; the caller has checked that the names are still free."""
        before = self._without_names(entity)
        props = {**entity.props, "deletedDateTime": None}
        if isinstance(entity, User):
            props["userPrincipalName"] = original_upn(entity)
        entity.deleted_at = None
        entity.seen_at = seen_at
        entity.props = props
        self._index(entity, before, props, {}, entity.edu or {})
        self.table_of(entity).changed(entity, seen_at, ("deletedDateTime", *props))

    def purge(self, entity: Entity, seen_at: float) -> None:
        """Delete for good, with every link to and from the object."""
        if entity.alive:
            self.delete(entity, seen_at)
        if isinstance(entity, User):
            self.upns.move(entity.id, entity.props["userPrincipalName"], None)
            self._forget_links(entity, seen_at)
        elif isinstance(entity, Group):
            self._forget_members(entity)
        for unit_id in list(entity.units):
            self.leave(self.units.by_id[unit_id], entity.id, seen_at)
        if isinstance(entity, Unit):
            for object_id in list(entity.members):
                self.leave(entity, object_id, seen_at)
        entity.purged = True
        table = self.table_of(entity)
        del table.by_id[entity.id]
        table.changed(entity, seen_at, ("deletedDateTime",))

    def _forget_links(self, user: User, seen_at: float) -> None:
        for group_id in list(user.groups):
            self.unlink(self.groups.by_id[group_id], "members", user.id, seen_at)
        for group_id in list(user.owned):
            self.unlink(self.groups.by_id[group_id], "owners", user.id, seen_at)

    def _forget_members(self, group: Group) -> None:
        for object_id in group.members:
            user = self.users.by_id.get(object_id)
            if user is not None:
                user.groups.pop(group.id, None)
        for object_id in group.owners:
            user = self.users.by_id.get(object_id)
            if user is not None:
                user.owned.pop(group.id, None)

    def sweep(self) -> None:
        """Purge what has been in the trash for longer than Graph keeps it."""
        now = self.clock.monotonic()
        while self.trash and self.trash[0][0] <= now:
            due, entity_id = self.trash.popleft()
            entity = self.find(entity_id)
            if entity is None or entity.deleted_at is None:
                continue
            if entity.deleted_at + RETENTION_DAYS * 86_400 <= due:
                self.purge(entity, 0.0)


def bare(address: str) -> str:
    """A proxy address without its `SMTP:` or `smtp:`."""
    return address.partition(":")[2] if address[:5].lower() == "smtp:" else address


def original_upn(user: User) -> str:
    """The UPN a soft-deleted user had, and gets back when restored."""
    upn: str = user.props["userPrincipalName"]
    return upn.removeprefix(user.id.replace("-", ""))
