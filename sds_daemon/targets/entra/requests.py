"""Changes to $batch items: which call, to which address, with which body.

Requests are built by the SDK's request builders and models, once for each shape (see `forms.py`); the addresses come
out relative to the service root. The membership calls, nine in ten of a first run, are put together by hand from the
same shapes.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgraph.generated.models.assigned_license import AssignedLicense
from msgraph.generated.models.password_profile import PasswordProfile
from msgraph.generated.users.item.assign_license.assign_license_post_request_body import AssignLicensePostRequestBody

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import RecordKind
from sds_daemon.targets.entra import bodies
from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.bodies import Body, Field
from sds_daemon.targets.entra.forms import Build, Form, Forms

MULTI_ADD = 20  # references in one PATCH or POST of a group (Graph docs: group-post-groups)
_BIND = "@odata.bind"
_PLAIN: Mapping[str, Field] = {}
_SILENT = ["WelcomeEmailDisabled", "HideGroupInOutlook", "SubscribeMembersToCalendarEventsDisabled"]
_RELATION = {
    ChangeKind.ADD_MEMBER: "members",
    ChangeKind.REMOVE_MEMBER: "members",
    ChangeKind.ADD_OWNER: "owners",
    ChangeKind.REMOVE_OWNER: "owners",
    ChangeKind.JOIN_LICENSE_GROUP: "members",
}


class Add(msgspec.Struct, eq=False, gc=False):
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
        self._forms = Forms(self._root)
        self.education = education
        self.education_classes = education and class_api == "education"

    # People

    def create_user(self, change: Change, password: str) -> Item:
        """The account with everything one write can carry. Raises bodies.BadAttribute."""
        kind = change.subject.kind
        users = self._builders.education.users if self.education else self._builders.users

        def build(values: Mapping[str, Any], _: str) -> tuple[Any, Body]:
            body = self._account(kind, values)
            body.model.account_enabled = True
            body.model.password_profile = PasswordProfile(
                password=values["password"], force_change_password_next_sign_in=True
            )
            return users.to_post_request_information(body.model), body

        values = {**_set_values(change), "password": password}
        name = f"upn:{str(values.get('user_principal_name', '')).lower()}"
        fields = bodies.person_fields(kind, education=self.education)
        item = self._create(change, ("user", kind), values, build, fields, education=self.education)
        item.objects = frozenset({name})
        return item

    def _account(self, kind: RecordKind, values: Mapping[str, Any]) -> Body:
        return bodies.education_user(kind, values) if self.education else bodies.plain_user(values)

    def update_user(self, change: Change, user_id: str) -> list[Item]:
        """Changed attributes: one write, two where some fit the extension alone, none where the tenant holds none."""
        kind = change.subject.kind

        def build(values: Mapping[str, Any], object_id: str) -> tuple[Any, Body]:
            body = self._account(kind, values)
            if not self.education:
                return self._builders.users.by_user_id(object_id).to_patch_request_information(body.model), body
            builder = self._builders.education.users.by_education_user_id(object_id)
            return builder.to_patch_request_information(body.model), body

        values = change.sent if self.education else change.values
        fields = bodies.person_fields(kind, education=self.education)
        items = self._patch(change, ("user", kind), values, user_id, build, fields, education=self.education)
        return items + self.user_extras(change, user_id)

    def user_extras(self, change: Change, user_id: str) -> list[Item]:
        """The write that follows when attributes fit the School Data Sync extension alone."""
        if not self.education or bodies.USER_EXTRAS.keys().isdisjoint(change.values):
            return []

        def build(values: Mapping[str, Any], object_id: str) -> tuple[Any, Body]:
            body = bodies.user_extras(values)
            return self._builders.users.by_user_id(object_id).to_patch_request_information(body.model), body

        return self._patch(change, "user extras", _only(change.values, bodies.USER_EXTRAS), user_id, build)

    def assign_license(self, change: Change, user_id: str, sku_ids: Sequence[str]) -> Item:
        """All licences of a role in one write (Graph docs: user-assignlicense)."""

        def build(_: Mapping[str, Any], object_id: str) -> tuple[Any, Body]:
            licenses = [AssignedLicense(sku_id=sku, disabled_plans=[]) for sku in sku_ids]
            model = AssignLicensePostRequestBody(add_licenses=licenses, remove_licenses=[])
            builder = self._builders.users.by_user_id(object_id).assign_license
            return builder.to_post_request_information(model), Body(model, empty=False)

        (item,) = self._patch(change, ("licences", *sku_ids), {}, user_id, build)
        return item

    # Classes

    def create_class(self, change: Change, adds: Sequence[Add] = ()) -> Item:
        """A class. `adds` ride along where the API takes them (`class_api` groups). Raises bodies.BadAttribute."""

        def build(values: Mapping[str, Any], _: str) -> tuple[Any, Body]:
            if self.education_classes:
                body = bodies.education_class(values)
                return self._builders.education.classes.to_post_request_information(body.model), body
            body = self._new_group(values)
            return self._builders.groups.to_post_request_information(body.model), body

        values = _set_values(change)
        alias = frozenset({f"alias:{str(values.get('mail_nickname', '')).lower()}"})
        if self.education_classes:
            item = self._create(change, "class", values, build, bodies.CLASS, education=True)
        else:
            marks = bodies.marks_of(change.subject, _source(change), new=True)
            item = self._create(change, "group", {**values, **marks, **self._binds(adds)}, build)
            item.changes = (change, *(add.change for add in adds))
            item.needs = frozenset(add.member_id for add in adds)
            item.adds = len(adds)
        item.objects = alias
        return item

    def _new_group(self, values: Mapping[str, Any]) -> Body:
        body = bodies.mark_group(bodies.plain_group(values, extended=self.education), values, extended=self.education)
        body.model.group_types = ["Unified"]
        body.model.mail_enabled = True
        body.model.security_enabled = False
        body.model.visibility = "HiddenMembership"
        body.model.resource_behavior_options = _SILENT
        body.model.additional_data.update({name: value for name, value in values.items() if name.endswith(_BIND)})
        return body

    def update_class(self, change: Change, group_id: str) -> list[Item]:
        """Changed attributes of a class, and our mark where it is due (ADOPT_CLASS)."""

        def build(values: Mapping[str, Any], object_id: str) -> tuple[Any, Body]:
            if self.education_classes:
                body = bodies.education_class(values)
                builder = self._builders.education.classes.by_education_class_id(object_id)
                return builder.to_patch_request_information(body.model), body
            body = bodies.plain_group(values, extended=self.education)
            bodies.mark_group(body, values, extended=self.education)
            return self._builders.groups.by_group_id(object_id).to_patch_request_information(body.model), body

        if self.education_classes:
            items = self._patch(change, "class", change.sent, group_id, build, bodies.CLASS, education=True)
            return items + self.class_extras(change, group_id)
        marks = bodies.marks_of(change.subject, _source(change), new=False) if _source(change) else {}
        return self._patch(change, "group", {**change.values, **marks}, group_id, build)

    def class_extras(self, change: Change, group_id: str) -> list[Item]:
        """The write that follows when attributes of a class made by the education API fit the extension alone."""
        if not self.education_classes or bodies.CLASS_EXTRAS.keys().isdisjoint(change.values):
            return []

        def build(values: Mapping[str, Any], object_id: str) -> tuple[Any, Body]:
            body = bodies.class_extras(values)
            return self._builders.groups.by_group_id(object_id).to_patch_request_information(body.model), body

        return self._patch(change, "class extras", _only(change.values, bodies.CLASS_EXTRAS), group_id, build)

    def restore_group(self, change: Change) -> Item:
        """A deleted group out of the recycle bin (Graph docs: directory-deleteditems-restore). It names no objects:

        a 404 says that it is not in the bin, and is no matter of replication lag.
        """

        def build(_: Mapping[str, Any], object_id: str) -> tuple[Any, Body]:
            builder = self._builders.directory.deleted_items.by_directory_object_id(object_id)
            return builder.restore.to_post_request_information(None), Body(None, empty=False)

        (item,) = self._patch(change, "restore", {}, change.object_id or "", build)
        item.objects = frozenset()
        item.alone = True
        return item

    # Schools

    def create_school(self, change: Change) -> Item:
        """A school; without the education API an administrative unit with our mark in its description."""
        builder = self._builders.education.schools if self.education else self._builders.directory.administrative_units

        def build(values: Mapping[str, Any], _: str) -> tuple[Any, Body]:
            body = self._school(values)
            return builder.to_post_request_information(body.model), body

        values = self._school_values(change, _set_values(change))
        item = self._create(change, "school", values, build, bodies.SCHOOL, education=self.education)
        item.objects = frozenset({f"school:{change.subject.sis_id}"})
        return item

    def _school(self, values: Mapping[str, Any]) -> Body:
        return bodies.education_school(values) if self.education else bodies.plain_school(values)

    def _school_values(self, change: Change, values: dict[str, Any]) -> dict[str, Any]:
        if self.education or not _source(change):
            return values
        return {**values, "description": bodies.unit_description(_source(change), change.subject)}

    def update_school(self, change: Change, school_id: str) -> list[Item]:
        """Changed attributes of a school."""

        def build(values: Mapping[str, Any], object_id: str) -> tuple[Any, Body]:
            body = self._school(values)
            if not self.education:
                builder = self._builders.directory.administrative_units.by_administrative_unit_id(object_id)
                return builder.to_patch_request_information(body.model), body
            builder = self._builders.education.schools.by_education_school_id(object_id)
            return builder.to_patch_request_information(body.model), body

        values = self._school_values(change, change.sent if self.education else change.values)
        return self._patch(change, "school", values, school_id, build, bodies.SCHOOL, education=self.education)

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
            kind=_kind_of(adds),
            changes=tuple(add.change for add in adds),
        )

    def _binds(self, adds: Sequence[Add]) -> dict[str, list[str]]:
        binds: dict[str, list[str]] = {}
        for add in adds:
            binds.setdefault(add.relation + _BIND, []).append(self._object(add.member_id))
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
        self,
        change: Change,
        name: Hashable,
        values: Mapping[str, Any],
        object_id: str,
        build: Build,
        fields: Mapping[str, Field] = _PLAIN,
        *,
        education: bool = False,
    ) -> list[Item]:
        """A write to an object that is there; nothing where the tenant holds none of the values."""
        form, body = self._forms.fill(("to", name), values, fields, object_id, build)
        if form is None:
            return []
        item = self._item(form, body, change, education=education)
        item.url = form.address(object_id)
        item.objects = frozenset({object_id})
        return [item]

    def _create(
        self,
        change: Change,
        name: Hashable,
        values: Mapping[str, Any],
        build: Build,
        fields: Mapping[str, Field] = _PLAIN,
        *,
        education: bool = False,
    ) -> Item:
        form, body = self._forms.fill(("new", name), values, fields, "", build)
        if form is None:
            raise ValueError(f"{change.kind} of {change.subject} has no values")
        item = self._item(form, body, change, education=education)
        item.create = True
        return item

    def _item(self, form: Form, body: bytes | None, change: Change, *, education: bool) -> Item:
        return Item(
            method=form.method, url=form.url, body=body, kind=change.kind, changes=(change,), education=education
        )


def _kind_of(adds: Sequence[Add]) -> str:
    """What refusals are counted under: that the app may not write to a licence group says nothing of classes."""
    join = ChangeKind.JOIN_LICENSE_GROUP
    return join if any(add.change.kind is join for add in adds) else "group.add"


def relation_of(kind: ChangeKind) -> str:
    """ "owners" or "members", for the kinds that write a group's references."""
    return _RELATION[kind]


def _set_values(change: Change) -> dict[str, Any]:
    return {name: value for name, value in change.values.items() if value is not None}


def _only(values: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _source(change: Change) -> str:
    return str(change.values.get("external_source_detail") or "")


def collection_of(reference: Item) -> str:
    """The address of the collection a removal takes a reference from: its own without "/{id}/$ref"."""
    return reference.url.rsplit("/", 2)[0]


def read(url: str, **query: str) -> Item:
    """A GET by $batch. Names of query options are given without their dollar sign."""
    options = "&".join(f"${name}={quote(value, safe=_QUERY_SAFE)}" for name, value in query.items())
    return Item(method="GET", url=f"{url}?{options}" if options else url, writes=0, kind="read")


_QUERY_SAFE = "',()@:$/"
