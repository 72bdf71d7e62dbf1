"""Changes to $batch items: which call, to which address, with which body.

Requests are built by the SDK's request builders and models; the addresses come out relative to the service root. The
membership calls, nine in ten of a first run, are put together by hand from the same shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgraph.generated.models.assigned_license import AssignedLicense
from msgraph.generated.models.password_profile import PasswordProfile
from msgraph.generated.users.item.assign_license.assign_license_post_request_body import AssignLicensePostRequestBody

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.targets.entra import bodies
from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.bodies import Body

MULTI_ADD = 20  # references in one PATCH or POST of a group (Graph docs: group-post-groups)
_SILENT = ["WelcomeEmailDisabled", "HideGroupInOutlook", "SubscribeMembersToCalendarEventsDisabled"]
_RELATION = {
    ChangeKind.ADD_MEMBER: "members",
    ChangeKind.REMOVE_MEMBER: "members",
    ChangeKind.ADD_OWNER: "owners",
    ChangeKind.REMOVE_OWNER: "owners",
}


class Add(msgspec.Struct, eq=False):
    """A person to add to a group, whose account is there."""

    change: Change
    member_id: str

    @property
    def relation(self) -> str:
        """ "owners" or "members"."""
        return relation_of(self.change.kind)


class Requests:
    """Builds items for one tenant.

    `root` is the service root with its version, for references in bodies. `education`: the tenant has the education
    API. `class_api`: "education" or "groups", how classes are made.
    """

    def __init__(self, builders: Any, root: str, *, education: bool, class_api: str) -> None:
        self._builders = builders
        self._root = root.rstrip("/")
        self.education = education
        self.education_classes = education and class_api == "education"

    # People

    def create_user(self, change: Change, password: str) -> Item:
        """The account with everything one write can carry. Raises bodies.BadAttribute."""
        values = _set_values(change)
        body = bodies.education_user(change.subject, values) if self.education else bodies.plain_user(values)
        body.model.account_enabled = True
        body.model.password_profile = PasswordProfile(password=password, force_change_password_next_sign_in=True)
        users = self._builders.education.users if self.education else self._builders.users
        return self._item(
            users.to_post_request_information(body.model),
            body,
            change,
            objects=frozenset({f"upn:{str(values.get('user_principal_name', '')).lower()}"}),
            create=True,
            education=self.education,
        )

    def update_user(self, change: Change, user_id: str) -> list[Item]:
        """Changed attributes: one write, two where some fit the extension alone, none where the tenant holds none."""
        if not self.education:
            body = bodies.plain_user(change.values)
            return self._patch(self._builders.users.by_user_id(user_id), body, change, user_id)
        body = bodies.education_user(change.subject, change.sent)
        builder = self._builders.education.users.by_education_user_id(user_id)
        return self._patch(builder, body, change, user_id, education=True) + self.user_extras(change, user_id)

    def user_extras(self, change: Change, user_id: str) -> list[Item]:
        """The write that follows when attributes fit the School Data Sync extension alone."""
        if not self.education or bodies.USER_EXTRAS.keys().isdisjoint(change.values):
            return []
        return self._patch(self._builders.users.by_user_id(user_id), bodies.user_extras(change.values), change, user_id)

    def assign_license(self, change: Change, user_id: str, sku_ids: Sequence[str]) -> Item:
        """All licences of a role in one write (Graph docs: user-assignlicense)."""
        licenses = [AssignedLicense(sku_id=sku, disabled_plans=[]) for sku in sku_ids]
        body = Body(AssignLicensePostRequestBody(add_licenses=licenses, remove_licenses=[]))
        builder = self._builders.users.by_user_id(user_id).assign_license
        info = builder.to_post_request_information(body.model)
        return self._item(info, body, change, objects=frozenset({user_id}))

    # Classes

    def create_class(self, change: Change, adds: Sequence[Add] = ()) -> Item:
        """A class. `adds` ride along where the API takes them (`class_api` groups). Raises bodies.BadAttribute."""
        values = _set_values(change)
        objects = frozenset({f"alias:{str(values.get('mail_nickname', '')).lower()}"})
        if self.education_classes:
            body = bodies.education_class(values)
            info = self._builders.education.classes.to_post_request_information(body.model)
            return self._item(info, body, change, objects=objects, create=True, education=True)
        body = self._group_body(change, values)
        body.model.additional_data.update(self._binds(adds))
        item = self._item(
            self._builders.groups.to_post_request_information(body.model), body, change, objects=objects, create=True
        )
        item.changes = (change, *(add.change for add in adds))
        item.needs = frozenset(add.member_id for add in adds)
        item.adds = len(adds)
        return item

    def _group_body(self, change: Change, values: dict[str, Any]) -> Body:
        body = bodies.plain_group(values, extended=self.education)
        bodies.mark_group(body, change.subject, _source(change), extended=self.education)
        body.model.group_types = ["Unified"]
        body.model.mail_enabled = True
        body.model.security_enabled = False
        body.model.visibility = "HiddenMembership"
        body.model.resource_behavior_options = _SILENT
        return body

    def update_class(self, change: Change, group_id: str) -> list[Item]:
        """Changed attributes of a class, and our mark where it is due (ADOPT_CLASS)."""
        if not self.education_classes:
            body = bodies.plain_group(change.values, extended=self.education)
            if _source(change):
                bodies.mark_group(body, change.subject, _source(change), extended=self.education, new=False)
            return self._patch(self._builders.groups.by_group_id(group_id), body, change, group_id)
        builder = self._builders.education.classes.by_education_class_id(group_id)
        items = self._patch(builder, bodies.education_class(change.sent), change, group_id, education=True)
        return items + self.class_extras(change, group_id)

    def class_extras(self, change: Change, group_id: str) -> list[Item]:
        """The write that follows when attributes of a class made by the education API fit the extension alone."""
        if not self.education_classes or bodies.CLASS_EXTRAS.keys().isdisjoint(change.values):
            return []
        builder = self._builders.groups.by_group_id(group_id)
        return self._patch(builder, bodies.class_extras(change.values), change, group_id)

    def restore_group(self, change: Change) -> Item:
        """A deleted group out of the recycle bin (Graph docs: directory-deleteditems-restore). It names no objects:

        a 404 says that it is not in the bin, and is no matter of replication lag.
        """
        builder = self._builders.directory.deleted_items.by_directory_object_id(change.object_id or "")
        info = builder.restore.to_post_request_information(None)
        item = self._item(info, Body(None), change, objects=frozenset())
        item.alone = True
        return item

    # Schools

    def create_school(self, change: Change) -> Item:
        """A school; without the education API an administrative unit with our mark in its description."""
        values = _set_values(change)
        body = bodies.education_school(values) if self.education else self._unit_body(change, values)
        builder = self._builders.education.schools if self.education else self._builders.directory.administrative_units
        info = builder.to_post_request_information(body.model)
        name = frozenset({f"school:{change.subject.sis_id}"})
        return self._item(info, body, change, objects=name, create=True, education=self.education)

    def _unit_body(self, change: Change, values: dict[str, Any]) -> Body:
        body = bodies.plain_school(values)
        if _source(change):
            mark = bodies.unit_mark(_source(change), change.subject)
            body.model.description = f"School kept in step with the student information system {mark}"
            body.empty = False
        return body

    def update_school(self, change: Change, school_id: str) -> list[Item]:
        """Changed attributes of a school."""
        if not self.education:
            builder = self._builders.directory.administrative_units.by_administrative_unit_id(school_id)
            return self._patch(builder, self._unit_body(change, change.values), change, school_id)
        builder = self._builders.education.schools.by_education_school_id(school_id)
        return self._patch(builder, bodies.education_school(change.sent), change, school_id, education=True)

    # Memberships

    def add_many(self, group_id: str, adds: Sequence[Add]) -> Item:
        """Up to 20 references in one write, all or nothing (Graph docs: group-post-members, "Add multiple members")."""
        return Item(
            method="PATCH",
            url=f"/groups/{group_id}",
            body=msgspec.json.encode(self._binds(adds)),
            objects=frozenset({group_id}),
            needs=frozenset(add.member_id for add in adds),
            adds=len(adds),
            kind="group.add",
            changes=tuple(add.change for add in adds),
        )

    def _binds(self, adds: Sequence[Add]) -> dict[str, list[str]]:
        binds: dict[str, list[str]] = {}
        for add in adds:
            binds.setdefault(f"{add.relation}@odata.bind", []).append(self._object(add.member_id))
        return binds

    def add_one(self, group_id: str, add: Add) -> Item:
        """One reference to a group."""
        collection = f"/groups/{group_id}/{add.relation}"
        return self._reference(add.change, collection, group_id, self._object(add.member_id), add.member_id)

    def remove_one(self, change: Change, group_id: str, member_id: str) -> Item:
        """One reference off a group. The address ends in /$ref: without it Graph would delete the person."""
        return self._unreference(change, f"/groups/{group_id}/{relation_of(change.kind)}", group_id, member_id)

    def add_to_school(self, change: Change, school_id: str, member_id: str) -> Item:
        """A person or a class to a school."""
        collection, target = self._school_relation(change)
        return self._reference(change, f"{collection.format(school_id)}", school_id, target + member_id, member_id)

    def remove_from_school(self, change: Change, school_id: str, member_id: str) -> Item:
        """A person off a school."""
        collection, _ = self._school_relation(change)
        return self._unreference(change, collection.format(school_id), school_id, member_id)

    def _school_relation(self, change: Change) -> tuple[str, str]:
        if change.kind is ChangeKind.ADD_SCHOOL_CLASS:
            if self.education_classes:
                return "/education/schools/{}/classes", f"{self._root}/education/classes/"
            # A group made without the education API may not count as a class; its administrative unit takes any group.
            return "/directory/administrativeUnits/{}/members", f"{self._root}/groups/"
        if self.education:
            return "/education/schools/{}/users", f"{self._root}/education/users/"
        return "/directory/administrativeUnits/{}/members", f"{self._root}/users/"

    def _object(self, object_id: str) -> str:
        return f"{self._root}/directoryObjects/{object_id}"

    def _reference(self, change: Change, collection: str, holder: str, target: str, member_id: str) -> Item:
        return Item(
            method="POST",
            url=f"{collection}/$ref",
            body=msgspec.json.encode({"@odata.id": target}),
            objects=frozenset({holder}),
            needs=frozenset({member_id}),
            kind=change.kind,
            changes=(change,),
            education=collection.startswith("/education/"),
        )

    def _unreference(self, change: Change, collection: str, holder: str, member_id: str) -> Item:
        return Item(
            method="DELETE",
            url=f"{collection}/{quote(member_id)}/$ref",
            objects=frozenset({holder}),
            kind=change.kind,
            changes=(change,),
            education=collection.startswith("/education/"),
        )

    def _patch(
        self, builder: Any, body: Body, change: Change, object_id: str, *, education: bool = False
    ) -> list[Item]:
        if body.empty:
            return []
        info = builder.to_patch_request_information(body.model)
        return [self._item(info, body, change, objects=frozenset({object_id}), education=education)]

    def _item(
        self,
        info: Any,
        body: Body,
        change: Change,
        *,
        objects: frozenset[str],
        create: bool = False,
        education: bool = False,
    ) -> Item:
        return Item(
            method=info.http_method.value,
            url=info.url.removeprefix(self._root),
            body=bodies.with_nulls(info.content, body.clear) if info.content else None,
            objects=objects,
            kind=change.kind,
            changes=(change,),
            create=create,
            education=education,
        )


def relation_of(kind: ChangeKind) -> str:
    """ "owners" or "members", for the kinds that write a group's references."""
    return _RELATION[kind]


def _set_values(change: Change) -> dict[str, Any]:
    return {name: value for name, value in change.values.items() if value is not None}


def _source(change: Change) -> str:
    return str(change.values.get("external_source_detail") or "")


def read(url: str, **query: str) -> Item:
    """A GET by $batch. Names of query options are given without their dollar sign."""
    options = "&".join(f"${name}={quote(value, safe=_QUERY_SAFE)}" for name, value in query.items())
    return Item(method="GET", url=f"{url}?{options}" if options else url, writes=0, kind="read")


_QUERY_SAFE = "',()@:$/"
