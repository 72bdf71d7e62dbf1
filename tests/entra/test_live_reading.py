"""The cache against a tenant that changes: full reads, delta rounds, lost delta links, deletions, anchors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_kit import SOURCE, Live, live, person

from sds_daemon.clock import Clock
from sds_daemon.errors import Interrupted, TargetError
from sds_daemon.roster.records import RecordKind
from sds_daemon.store import Store
from sds_daemon.targets.base import Anchor, RefreshReport
from sds_daemon.targets.entra.reading import Reading
from sds_daemon.targets.entra.transport import GraphTransport

UNIQUE = f"sds-daemon.{SOURCE.replace('-', '')}.section.S-1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state" / "state.db", Clock())
    yield opened
    opened.close()


def section(number: int, **more: Any) -> dict[str, Any]:
    return {
        "op": "create_group",
        "displayName": f"Class {number}",
        "mailNickname": f"Section_{number}",
        "externalId": str(number),
        "externalSource": "sis",
        "externalSourceDetail": SOURCE,
        **more,
    }


class Reader:
    """A transport kept over several refreshes of one cache."""

    def __init__(self, tenant: Live, store: Store, *, education: bool = True) -> None:
        self.transport: GraphTransport = tenant.transport(read_only=True)
        self.cache = store.directory(tenant.settings.tenant_id)
        self.education = education

    async def refresh(self, **more: Any) -> RefreshReport:
        return await Reading(self.transport, self.cache, education=self.education, **more).refresh()


async def test_a_full_read_brings_users_with_their_education_part_groups_and_schools(
    tmp_path: Path, store: Store
) -> None:
    async with live(tmp_path) as tenant:
        made = await tenant.change(*(person(n) for n in range(30)), *(section(n) for n in range(10)))
        reader = Reader(tenant, store)
        report = await reader.refresh()
        assert report.full == ("education", "groups", "users")
        assert reader.cache.count("user") == 30
        anchored = reader.cache.users_by_anchor(SOURCE)
        assert set(anchored) == {(RecordKind.TEACHER if n % 3 == 0 else RecordKind.STUDENT, str(n)) for n in range(30)}
        user = reader.cache.users_by("userPrincipalName", ["P1@CONTOSO.EDU"])["p1@contoso.edu"][0]
        assert user.id == made[1]["id"]
        assert (user.mail_nickname, user.enabled, user.on_premises) == ("p1", True, False)
        assert user.education["grade"] == "07"
        groups = reader.cache.groups_by_anchor(SOURCE)
        assert set(groups) == {str(n) for n in range(10)}
        assert reader.cache.groups_by_alias(["section_3"])["section_3"].mail.lower().startswith("section_3@")
        await reader.transport.close()


async def test_reading_works_over_http2(tmp_path: Path, store: Store) -> None:
    async with live(tmp_path, http2=True) as tenant:
        await tenant.change(*(person(n) for n in range(30)))
        reader = Reader(tenant, store)
        await reader.refresh()
        assert reader.cache.count("user") == 30
        await reader.transport.close()


async def test_a_round_without_changes_costs_five_requests_and_brings_nothing(tmp_path: Path, store: Store) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change(*(person(n) for n in range(30)), *(section(n) for n in range(10)))
        reader = Reader(tenant, store)
        await reader.refresh()
        report = await reader.refresh()
        assert (report.reads, report.full, report.changed) == (5, (), 0)
        await reader.transport.close()


async def test_a_round_brings_what_changed_and_keeps_the_rest(tmp_path: Path, store: Store) -> None:
    async with live(tmp_path) as tenant:
        made = await tenant.change(*(person(n) for n in range(9)), *(section(n) for n in range(3)))
        reader = Reader(tenant, store)
        await reader.refresh()
        users, groups = [row["id"] for row in made[:9]], [row["id"] for row in made[9:]]
        await tenant.change(
            {"op": "update_user", "id": users[1], "displayName": "Renamed", "accountEnabled": False},
            {"op": "delete_user", "id": users[2]},
            {"op": "delete_user", "id": users[4]},
            {"op": "purge_user", "id": users[4]},
            {"op": "update_group", "id": groups[0], "displayName": "New name"},
            {"op": "delete_group", "id": groups[1]},
            person(50),
            section(50),
        )
        report = await reader.refresh()
        assert report.full == ()
        cache = reader.cache
        renamed = cache.users([users[1]])[users[1]]
        assert (renamed.display_name, renamed.enabled) == ("Renamed", False)
        assert renamed.anchor == Anchor(SOURCE, RecordKind.STUDENT, "1")
        assert cache.deleted("user", users) == {users[2], users[4]}
        assert cache.purged("user", users) == {users[4]}
        group = cache.groups([groups[0]])[groups[0]]
        assert group.display_name == "New name"
        assert group.anchor == Anchor(SOURCE, RecordKind.SECTION, "0"), "the anchor survives a change of the name"
        assert cache.deleted("group", groups) == {groups[1]}
        assert set(cache.groups_by_anchor(SOURCE)) == {"0", "2", "50"}
        await tenant.change({"op": "restore_user", "id": users[2]})
        await reader.refresh()
        assert cache.users([users[2]])[users[2]].upn == "p2@contoso.edu"
        await reader.transport.close()


async def test_a_delta_link_that_is_refused_starts_over_and_drops_what_went_meanwhile(
    tmp_path: Path, store: Store
) -> None:
    async with live(tmp_path) as tenant:
        made = await tenant.change(*(person(n) for n in range(9)))
        reader = Reader(tenant, store)
        await reader.refresh()
        await tenant.change(
            {"op": "delete_user", "id": made[0]["id"]},
            {"op": "purge_user", "id": made[0]["id"]},
            {"op": "expire_delta"},
        )
        report = await reader.refresh()
        assert report.full == ("education", "groups", "users")
        assert reader.cache.count("user") == 8
        assert (await reader.refresh()).full == ()
        await reader.transport.close()


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_every_way_of_refusing_a_delta_link_means_start_over(tmp_path: Path, store: Store, status: int) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change(person(1))
        reader = Reader(tenant, store)
        await reader.refresh()
        tenant.faults.add({"side": "graph", "kind": "status", "status": status, "path": "/users/delta", "times": 1})
        report = await reader.refresh()
        assert "users" in report.full
        assert reader.cache.count("user") == 1
        await reader.transport.close()


async def test_a_read_that_breaks_off_half_way_is_done_again_in_full(tmp_path: Path, store: Store) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change(*(person(n) for n in range(30)))
        reader = Reader(tenant, store)
        tenant.faults.add({"side": "graph", "kind": "status", "status": 403, "path": "^/users/delta", "after": 2})
        with pytest.raises(TargetError, match="403"):
            await reader.refresh()
        tenant.faults.clear()
        report = await reader.refresh()
        assert "users" in report.full
        assert reader.cache.count("user") == 30
        await reader.transport.close()


async def test_passing_faults_and_throttling_are_ridden_out(tmp_path: Path, store: Store) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change(*(person(n) for n in range(30)))
        reader = Reader(tenant, store)
        for kind in (
            {"kind": "status", "status": 503},
            {"kind": "status", "status": 429, "headers": {"Retry-After": "0.01"}},
            {"kind": "reset"},
            {"kind": "expire_token"},
        ):
            tenant.faults.add({"side": "graph", "path": "delta", "times": 1, "after": 1, **kind})
        await reader.refresh()
        assert reader.cache.count("user") == 30
        await reader.transport.close()


async def test_stop_is_heeded_between_pages(tmp_path: Path, store: Store) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change(*(person(n) for n in range(30)))
        reader = Reader(tenant, store)
        with pytest.raises(Interrupted):
            await reader.refresh(stop=lambda: tenant.requests("/users/delta") >= 2)
        assert tenant.requests("/users/delta") <= 3
        await reader.transport.close()


async def test_a_plain_tenant_is_read_without_education_and_anchors_stand_in_names_and_descriptions(
    tmp_path: Path, store: Store
) -> None:
    async with live(tmp_path, education=False) as tenant:
        made = await tenant.change(
            {"op": "create_user", "userPrincipalName": "p1@contoso.edu", "mailNickname": "p1", "displayName": "P"},
            {"op": "create_group", "displayName": "A", "mailNickname": "A", "uniqueName": UNIQUE},
            {"op": "create_group", "displayName": "B", "mailNickname": "B"},
            {
                "op": "create_unit",
                "displayName": "North",
                "description": f"North School [sds-daemon {SOURCE} school 10]",
            },
            {"op": "create_unit", "displayName": "Other", "description": "by hand"},
        )
        reader = Reader(tenant, store, education=False)
        report = await reader.refresh()
        assert report.full == ("groups", "users")
        assert reader.cache.groups_by_anchor(SOURCE)["S-1"][0].id == made[1]["id"]
        assert reader.cache.schools_by_anchor(SOURCE)["10"][0].id == made[3]["id"]
        assert reader.cache.count("school") == 2
        assert tenant.requests("/education/users/delta") == 0
        await tenant.change({"op": "update_group", "id": made[1]["id"], "displayName": "A2"})
        await reader.refresh()
        assert reader.cache.groups_by_anchor(SOURCE)["S-1"][0].display_name == "A2"
        assert (await reader.refresh()).reads == 3
        await reader.transport.close()


async def test_a_tenant_that_becomes_an_education_tenant_is_read_anew(tmp_path: Path, store: Store) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change(section(1))
        plain = Reader(tenant, store, education=False)
        await plain.refresh()
        await plain.transport.close()
        reader = Reader(tenant, store)
        report = await reader.refresh()
        assert "groups" in report.full
        assert set(reader.cache.groups_by_anchor(SOURCE)) == {"1"}
        await reader.transport.close()
