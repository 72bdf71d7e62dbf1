"""The directory cache."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest
from store_samples import SOURCE, TENANT

from sds_daemon.clock import FixedClock
from sds_daemon.roster.records import RecordKind
from sds_daemon.store import Directory, Store
from sds_daemon.targets.base import Anchor, DirectoryGroup, DirectorySchool, DirectoryUser


@pytest.fixture
def cache(store: Store) -> Directory:
    return store.directory(TENANT)


def anchor(kind: RecordKind = RecordKind.STUDENT, sis_id: str = "7", source: str = SOURCE) -> Anchor:
    return Anchor(source, kind, sis_id)


FULL = DirectoryUser(
    id="u-1",
    upn="Ada.Pupil@Example.org",
    mail="Ada@Mail.Example.org",
    mail_nickname="AdaP",
    display_name="Ada Pupil",
    enabled=False,
    on_premises=True,
    created="2026-08-01T00:00:00Z",
    anchor=anchor(),
    education={"primaryRole": "student"},
)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("userPrincipalName", "ADA.PUPIL@example.ORG"),
        ("mail", "ada@mail.example.org"),
        ("mailNickname", "ADAP"),
    ],
)
def test_users_are_found_by_whole_values_in_any_case(
    cache: Directory, key: Literal["userPrincipalName", "mail", "mailNickname"], value: str
) -> None:
    cache.put_users([FULL, DirectoryUser(id="u-2", upn="ada.pupil@example.org.test", mail_nickname="adapt")])
    assert cache.users_by(key, [value, value.lower(), "nobody"]) == {value.lower(): [FULL]}
    assert cache.users_by(key, [value[:-1], "%", ""]) == {}


def test_everybody_with_a_value_is_returned(cache: Directory) -> None:
    twins = [DirectoryUser(id=f"u-{n}", upn=f"u{n}@example.org", mail="both@example.org") for n in (1, 2)]
    cache.put_users(twins)
    assert cache.users_by("mail", ["Both@example.org"]) == {"both@example.org": twins}


def test_users_without_mail_are_not_found_by_the_empty_value(cache: Directory) -> None:
    cache.put_users([DirectoryUser(id="u-1", upn="a@example.org")])
    assert cache.users_by("mail", [""]) == {}
    assert cache.users_by("mailNickname", ["none"]) == {}


def test_a_user_put_again_is_replaced_and_keeps_its_education_part(cache: Directory) -> None:
    cache.put_users([FULL])
    cache.put_users([DirectoryUser(id="u-1", upn="renamed@example.org")])
    (found,) = cache.users(["u-1"]).values()
    assert (found.upn, found.mail, found.enabled) == ("renamed@example.org", "", True)
    assert (found.anchor, found.education) == (FULL.anchor, FULL.education)
    assert cache.users_by("userPrincipalName", [FULL.upn]) == {}
    assert cache.users_by("mail", [FULL.mail]) == {}


def test_an_education_part_may_come_first_and_may_go(cache: Directory) -> None:
    cache.put_education([("u-1", anchor(sis_id="0012"), {"grade": "05"})])
    assert cache.users(["u-1"]) == {}
    assert cache.users_by_anchor(SOURCE) == {}
    assert cache.count("user") == 0
    cache.put_users([DirectoryUser(id="u-1", upn="a@example.org")])
    (found,) = cache.users_by_anchor(SOURCE)[RecordKind.STUDENT, "0012"]
    assert (found.upn, found.education) == ("a@example.org", {"grade": "05"})
    cache.put_education([("u-1", None, {})])
    assert cache.users_by_anchor(SOURCE) == {}
    assert cache.users(["u-1"])["u-1"].upn == "a@example.org"


def test_an_education_part_does_not_bring_a_deleted_user_back(cache: Directory) -> None:
    cache.put_users([FULL])
    cache.forget("user", ["u-1"], purged=False)
    cache.put_education([("u-1", anchor(), {})])
    assert cache.users(["u-1"]) == {}


def test_anchors_are_searched_by_source_and_kind(cache: Directory) -> None:
    cache.put_users(
        [
            DirectoryUser(id="u-1", upn="1@example.org", anchor=anchor()),
            DirectoryUser(id="u-2", upn="2@example.org", anchor=anchor(RecordKind.TEACHER)),
            DirectoryUser(id="u-3", upn="3@example.org", anchor=anchor()),
            DirectoryUser(id="u-4", upn="4@example.org", anchor=anchor(source="other")),
        ]
    )
    found = cache.users_by_anchor(SOURCE)
    assert {key: [user.id for user in users] for key, users in found.items()} == {
        (RecordKind.STUDENT, "7"): ["u-1", "u-3"],
        (RecordKind.TEACHER, "7"): ["u-2"],
    }


def test_groups_and_schools(cache: Directory) -> None:
    group = DirectoryGroup(
        id="g-1",
        display_name="Biology 1",
        mail_nickname="Section_9",
        mail="section_9@example.org",
        created="2026-08-01T00:00:00Z",
        anchor=anchor(RecordKind.SECTION, "9"),
    )
    hill = DirectorySchool(id="s-1", display_name="Hill School", anchor=anchor(RecordKind.SCHOOL, "4"))
    cache.put_groups([group, DirectoryGroup(id="g-2", mail_nickname="Staff")])
    cache.put_schools([hill, DirectorySchool(id="s-2", display_name="hill school")])
    assert cache.groups_by_alias(["SECTION_9", "Section_10"]) == {"section_9": group}
    assert cache.groups_by_anchor(SOURCE) == {"9": [group]}
    assert cache.groups(["g-1", "g-3"]) == {"g-1": group}
    assert cache.schools_by_anchor(SOURCE) == {"4": [hill]}
    assert cache.schools(["s-1"]) == {"s-1": hill}
    assert (cache.count("group"), cache.count("school")) == (2, 2)
    cache.put_groups([DirectoryGroup(id="g-1", mail_nickname="Renamed")])
    assert cache.groups_by_anchor(SOURCE) == {}, "a group that comes without the mark has lost it"


def test_tenants_are_apart(store: Store) -> None:
    store.directory(TENANT).put_users([FULL])
    assert store.directory("other").users(["u-1"]) == {}
    assert store.directory(TENANT).users(["u-1"]) == {"u-1": FULL}


def test_deleted_objects_are_remembered_as_such_until_they_return(cache: Directory) -> None:
    cache.put_users([FULL, DirectoryUser(id="u-2", upn="b@example.org")])
    cache.forget("user", ["u-1", "u-9"], purged=False)
    cache.forget("user", ["u-2"], purged=True)
    assert cache.deleted("user", ["u-1", "u-2", "u-9", "u-8"]) == {"u-1", "u-2", "u-9"}
    assert cache.purged("user", ["u-1", "u-2", "u-9", "u-8"]) == {"u-2"}
    assert cache.users_by("userPrincipalName", [FULL.upn]) == {}
    assert cache.users_by_anchor(SOURCE) == {}
    cache.put_users([DirectoryUser(id="u-1", upn=FULL.upn)])
    assert cache.deleted("user", ["u-1"]) == set()
    assert cache.users(["u-1"])["u-1"].anchor == FULL.anchor, "restored with the mark it had"


@pytest.mark.parametrize("kind", ["user", "group", "school"])
def test_unknown_deleted_ids_are_noted(cache: Directory, kind: str) -> None:
    cache.forget(kind, ["x-1"], purged=False)
    assert cache.deleted(kind, ["x-1", "x-2"]) == {"x-1"}
    assert cache.count(kind) == 0


def test_the_cursor_is_absent_until_a_read_is_whole(cache: Directory) -> None:
    assert cache.cursor("users") is None
    cache.begin_full("users")
    cache.put_users([FULL])
    assert cache.cursor("users") is None
    cache.end("users", "delta-1")
    assert (cache.cursor("users"), cache.cursor("groups")) == ("delta-1", None)
    cache.end("users", "delta-2")
    assert cache.cursor("users") == "delta-2"
    cache.begin_full("users")
    assert cache.cursor("users") is None, "a full read that breaks off is begun again"


def test_a_full_read_drops_what_it_did_not_bring(cache: Directory) -> None:
    cache.put_users([FULL, DirectoryUser(id="u-2", upn="b@example.org")])
    cache.put_groups([DirectoryGroup(id="g-1", mail_nickname="a"), DirectoryGroup(id="g-2", mail_nickname="b")])
    cache.begin_full("users")
    cache.put_users([DirectoryUser(id="u-2", upn="b@example.org")])
    assert cache.users(["u-1"]), "nothing is dropped before the read is whole"
    cache.end("users", "delta")
    assert set(cache.users(["u-1", "u-2"])) == {"u-2"}
    assert cache.deleted("user", ["u-1"]) == {"u-1"}
    assert cache.count("group") == 2
    cache.begin_full("groups")
    cache.put_groups([DirectoryGroup(id="g-2", mail_nickname="b")])
    cache.end("groups", None)
    assert cache.deleted("group", ["g-1", "g-2"]) == {"g-1"}


def test_a_delta_read_drops_nothing(cache: Directory) -> None:
    cache.begin_full("users")
    cache.put_users([FULL, DirectoryUser(id="u-2", upn="b@example.org")])
    cache.end("users", "delta-1")
    cache.put_users([DirectoryUser(id="u-2", upn="c@example.org")])
    cache.end("users", "delta-2")
    assert set(cache.users(["u-1", "u-2"])) == {"u-1", "u-2"}


def test_a_broken_off_full_read_does_not_count_as_seen_by_the_next(cache: Directory) -> None:
    cache.begin_full("users")
    cache.put_users([FULL])
    cache.begin_full("users")
    cache.end("users", "delta")
    assert cache.users(["u-1"]) == {}


def test_a_full_education_read_takes_away_parts_and_leaves_users(cache: Directory) -> None:
    cache.put_users([FULL, DirectoryUser(id="u-2", upn="b@example.org", anchor=anchor(sis_id="8"))])
    cache.begin_full("education")
    cache.put_education([("u-2", anchor(sis_id="8"), {})])
    cache.end("education", "delta")
    assert set(cache.users_by_anchor(SOURCE)) == {(RecordKind.STUDENT, "8")}
    assert cache.users(["u-1"])["u-1"].education == {}


def test_objects_just_made_survive_a_full_read_that_does_not_show_them_yet(store: Store, clock: FixedClock) -> None:
    cache = store.directory(TENANT, lag=timedelta(minutes=15))
    cache.remember_users([FULL])
    cache.remember_groups([DirectoryGroup(id="g-1", mail_nickname="a", anchor=anchor(RecordKind.SECTION, "9"))])
    cache.remember_schools([DirectorySchool(id="s-1", display_name="Hill")])
    clock.advance(timedelta(minutes=14))
    for name in ("users", "education", "groups", "schools"):
        cache.begin_full(name)
        cache.end(name, "delta")
    assert cache.users(["u-1"]) == {"u-1": FULL}
    assert cache.groups_by_alias(["a"]) and cache.schools(["s-1"])
    clock.advance(timedelta(minutes=2))
    for name in ("users", "groups", "schools"):
        cache.begin_full(name)
        cache.end(name, "delta")
    assert cache.users(["u-1"]) == {}
    assert cache.groups(["g-1"]) == {} and cache.schools(["s-1"]) == {}


def test_more_values_than_one_query_takes(cache: Directory) -> None:
    cache.put_users(DirectoryUser(id=f"u-{n}", upn=f"u{n}@example.org") for n in range(1203))
    found = cache.users_by("userPrincipalName", (f"U{n}@example.org" for n in range(2000)))
    assert len(found) == 1203
    cache.forget("user", (f"u-{n}" for n in range(1203)), purged=False)
    assert len(cache.deleted("user", (f"u-{n}" for n in range(1203)))) == 1203


def test_a_tenant_of_twenty_thousand(cache: Directory) -> None:
    cache.begin_full("users")
    cache.put_users(
        DirectoryUser(id=f"u-{n}", upn=f"u{n}@example.org", anchor=anchor(sis_id=str(n))) for n in range(20_000)
    )
    cache.end("users", "delta")
    assert cache.count("user") == 20_000
    assert len(cache.users_by_anchor(SOURCE)) == 20_000


def test_unknown_collections_are_a_defect(cache: Directory) -> None:
    with pytest.raises(KeyError):
        cache.begin_full("devices")
