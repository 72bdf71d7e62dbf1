"""The tenant: the directory with its options, licences, addresses and replication lag."""

from __future__ import annotations

from random import Random
from typing import Any

from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.entra.errors import OBJECT_QUOTA, GraphError, taken
from sds_daemon.sandbox.entra.options import EntraOptions
from sds_daemon.sandbox.entra.state import Directory, Group, User, bare


class Tenant:
    """What operations work on. `graph_url` and `authority_url` are roots without a trailing slash or version."""

    def __init__(self, options: EntraOptions, clock: SandboxClock) -> None:
        self.options = options
        self.clock = clock
        self.directory = Directory(clock, options.seed)
        self.skus = {owned.id: owned for owned in options.skus}
        self.graph_url = "https://graph.microsoft.com"
        self.authority_url = "https://login.microsoftonline.com"
        self.epoch = 0
        self.resync = 0
        self._random = Random(options.seed)

    @property
    def root(self) -> str:
        """Graph root with version."""
        return self.graph_url + "/v1.0"

    @property
    def extensions(self) -> bool:
        """Whether the education extension attributes are registered here."""
        return self.options.education

    def now(self) -> float:
        """Sandbox seconds, the time of `seen_at` values."""
        return self.clock.monotonic()

    def seen_from(self) -> float:
        """When a write of this moment becomes visible to reads: at a random time within the lag horizon."""
        lag = self.options.lag_seconds
        return self.now() + self._random.uniform(0.0, lag) if lag > 0 else 0.0

    def verified(self, domain: str) -> bool:
        """Whether the domain is verified in this tenant."""
        return domain.lower() in (name.lower() for name in self.options.domains)

    def group_mail(self, nickname: str) -> str:
        """Address of a Microsoft 365 group."""
        return f"{nickname}@{self.options.group_mail_domain or self.options.domains[0]}"

    def check_room(self) -> None:
        """403 when the directory holds as many objects as it may."""
        if self.directory.count() >= self.options.object_quota:
            raise GraphError(403, "Directory_QuotaExceeded", OBJECT_QUOTA)

    def check_user_names(self, props: dict[str, Any], own_id: str | None) -> None:
        """400 ObjectConflict when the UPN, mail or immutable id of `props` is held by another object."""
        directory = self.directory
        upn = props.get("userPrincipalName")
        if upn:
            if directory.upns.holder(upn, own_id):
                raise taken("userPrincipalName")
            if directory.addresses.holder(upn, own_id):
                raise taken("proxyAddresses")
        mail = props.get("mail")
        if mail and (directory.addresses.holder(mail, own_id) or directory.upns.holder(mail, own_id)):
            raise taken("proxyAddresses")
        immutable = props.get("onPremisesImmutableId")
        if immutable and directory.immutable_ids.holder(immutable, own_id):
            raise taken("onPremisesImmutableId")

    def check_group_names(self, nickname: str | None, mail: str | None, own_id: str | None) -> None:
        """400 ObjectConflict when the alias of a mail-enabled group, or its address, is held by another object."""
        groups = self.directory.groups.by_id
        for holder in self.directory.group_nicknames.get(nickname) if nickname else ():
            if holder != own_id and is_unified(groups[holder]):
                raise taken("mailNickname")
        if mail and (self.directory.addresses.holder(mail, own_id) or self.directory.upns.holder(mail, own_id)):
            raise taken("proxyAddresses")

    def delete_user(self, user: User, seen_at: float) -> None:
        """Soft-delete a user; the seats of its licences become free at once."""
        self._count_seats(user, -1)
        self.directory.delete(user, seen_at)

    def retake_seats(self, user: User) -> None:
        """Give a restored user its licences back, those without a free seat excepted."""
        for sku_id in {*user.licenses, *user.inherited}:
            if not self.free_seat(sku_id):
                user.licenses.pop(sku_id, None)
                user.inherited.pop(sku_id, None)
        self._count_seats(user, 1)

    def free_seat(self, sku_id: str) -> bool:
        """Whether the tenant owns the licence, in good standing, with a seat left."""
        sku = self.skus.get(sku_id)
        return sku is not None and sku.status == "Enabled" and sku.consumed < sku.enabled + sku.warning

    def _count_seats(self, user: User, change: int) -> None:
        for sku_id in {*user.licenses, *user.inherited}:
            if sku_id in self.skus:
                self.skus[sku_id].consumed += change

    def user_by_key(self, key: str) -> User | None:
        """A user by object id or UPN, visible or not."""
        user = self.directory.users.by_id.get(key.lower())
        if user is None and "@" in key:
            holder = self.directory.upns.holder(key)
            user = self.directory.users.by_id.get(holder) if holder else None
        return user


def with_mail(props: dict[str, Any], mail: str | None) -> dict[str, Any]:
    """`props` with a primary address: `mail` and an `SMTP:` entry, a former primary kept as `smtp:`."""
    kept = [
        "smtp:" + bare(address)
        for address in props.get("proxyAddresses") or ()
        if mail is None or bare(address).lower() != mail.lower()
    ]
    return {"mail": mail, "proxyAddresses": [*([f"SMTP:{mail}"] if mail else []), *kept]}


def is_unified(group: Group) -> bool:
    """Whether it is a Microsoft 365 group."""
    return "Unified" in (group.props.get("groupTypes") or ())
