"""Links, marks and collisions: who keeps an account, who gets it, who goes without."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matching_rig import (
    S1,
    S2,
    T1,
    T2,
    Book,
    Directory,
    StoredLink,
    codes,
    match,
    matching_on,
    profile,
    rules,
    snapshot,
    student,
    teacher,
    user,
)

from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.targets.base import Anchor, DirectoryUser

BY_UPN = matching_on("username", "contoso.com", "userPrincipalName")


class TestLinks:
    def test_a_link_outlives_renames_on_both_sides(self) -> None:
        book = Book({S1: StoredLink("u1")})
        directory = Directory(user("u1", "renamed@contoso.com"), user("u2", "new-name@contoso.com"))
        result = match(snapshot(student("1", "new-name")), BY_UPN, directory, book)
        assert result.linked == {S1: "u1"}
        assert result.matched == []
        assert result.issues == []

    def test_a_link_whose_object_the_directory_does_not_show_yet_is_kept(self) -> None:
        result = match(snapshot(student("1", "ada")), BY_UPN, Directory(), Book({S1: StoredLink("u1")}))
        assert result.linked == {S1: "u1"}

    def test_an_account_in_the_recycle_bin_is_an_issue_and_nothing_else(self) -> None:
        book = Book({S1: StoredLink("u1")})
        directory = Directory(user("u2", "ada@contoso.com"), deleted={"u1"})
        for chosen in (BY_UPN, profile("create"), profile("match_or_create")):
            result = match(snapshot(student("1", "ada")), chosen, directory, book)
            assert codes(result) == {S1: IssueCode.OBJECT_DELETED}
            assert not (result.linked or result.matched or result.creates)

    def test_after_a_purge_the_person_is_matched_anew(self) -> None:
        book = Book({S1: StoredLink("u1")})
        directory = Directory(user("u2", "ada@contoso.com"), purged={"u1"})
        result = match(snapshot(student("1", "ada")), BY_UPN, directory, book)
        assert rules(result) == {S1: ("u2", "username@contoso.com=userPrincipalName")}

    def test_after_a_purge_the_account_is_made_anew(self) -> None:
        result = match(
            snapshot(student("1", "ada")), profile("create"), Directory(purged={"u1"}), Book({S1: StoredLink("u1")})
        )
        assert [create.ref for create in result.creates] == [S1]

    def test_links_of_another_profile_are_used_not_owned(self) -> None:
        book = Book({T1: StoredLink("u1", profile="elm"), S1: StoredLink("u2")})
        result = match(snapshot(teacher("1"), student("1")), profile("create"), Directory(), book)
        assert result.linked == {T1: "u1", S1: "u2"}
        assert result.foreign == {T1}
        assert not (result.creates or result.issues)

    def test_student_and_teacher_with_one_number_are_two_people(self) -> None:
        book = Book({S1: StoredLink("u1")})
        directory = Directory(user("u1", "ada@contoso.com"), user("u2", "alan@contoso.com"))
        result = match(snapshot(student("1", "ada"), teacher("1", "alan")), BY_UPN, directory, book)
        assert result.linked == {S1: "u1", T1: "u2"}


class TestMarks:
    @pytest.mark.parametrize("users", ["match", "create", "match_or_create"])
    def test_a_lost_database_finds_its_accounts_by_their_mark(self, users: str) -> None:
        directory = Directory(user("u1", "renamed@contoso.com", anchor=S1))
        result = match(snapshot(student("1", "ada")), profile(users), directory)
        assert rules(result) == {S1: ("u1", "anchor")}
        assert not (result.creates or result.issues)

    def test_the_mark_goes_before_the_rule(self) -> None:
        directory = Directory(user("u1", "renamed@contoso.com", anchor=S1), user("u2", "ada@contoso.com"))
        assert match(snapshot(student("1", "ada")), BY_UPN, directory).linked == {S1: "u1"}

    def test_accounts_marked_in_create_mode_count_as_made_by_us(self) -> None:
        directory = Directory(user("u1", "ada@contoso.com", anchor=S1))
        data = snapshot(student("1", "ada"))
        assert [one.created for one in match(data, profile("create"), directory).matched] == [True]
        assert [one.created for one in match(data, BY_UPN, directory).matched] == [False]

    def test_two_accounts_with_one_mark(self) -> None:
        directory = Directory(user("u1", "a@contoso.com", anchor=S1), user("u2", "b@contoso.com", anchor=S1))
        for chosen in (BY_UPN, profile("create")):
            result = match(snapshot(student("1", "ada")), chosen, directory)
            assert codes(result) == {S1: IssueCode.DUPLICATE_TARGET}
            assert not (result.linked or result.creates)

    def test_marks_of_other_sources_and_kinds_mean_nothing(self) -> None:
        other = DirectoryUser(id="u1", upn="a@contoso.com", anchor=Anchor("another", RecordKind.STUDENT, "1"))
        directory = Directory(other, user("u2", "b@contoso.com", anchor=T1))
        result = match(snapshot(student("1", "ada")), profile("create"), directory)
        assert [create.ref for create in result.creates] == [S1]

    def test_a_marked_account_that_another_record_is_linked_to_stays_there(self) -> None:
        directory = Directory(user("u1", "ada@contoso.com", anchor=S1))
        result = match(
            snapshot(student("1", "ada"), student("2", "eve")), BY_UPN, directory, Book({S2: StoredLink("u1")})
        )
        assert result.linked == {S2: "u1"}
        assert codes(result) == {S1: IssueCode.DUPLICATE_TARGET}


class TestClaims:
    ONE = Directory(user("u1", "ada@contoso.com"))

    @pytest.mark.parametrize("make", [student, teacher])
    def test_two_records_claim_one_account_and_neither_gets_it(self, make) -> None:
        result = match(snapshot(make("1", "ada"), make("2", "ADA")), BY_UPN, self.ONE)
        assert result.linked == {}
        assert set(codes(result).values()) == {IssueCode.DUPLICATE_TARGET}
        assert len(result.issues) == 2
        assert "2" in result.issues[0].detail, "the rival record is named by its id"

    def test_the_holder_keeps_it(self) -> None:
        book = Book({S2: StoredLink("u1")})
        result = match(snapshot(student("1", "ada"), student("2", "ada")), BY_UPN, self.ONE, book)
        assert result.linked == {S2: "u1"}
        assert codes(result) == {S1: IssueCode.DUPLICATE_TARGET}

    def test_a_holder_who_left_the_source_keeps_it_too(self) -> None:
        result = match(snapshot(student("1", "ada")), BY_UPN, self.ONE, Book({S2: StoredLink("u1")}))
        assert codes(result) == {S1: IssueCode.DUPLICATE_TARGET}

    def test_a_teacher_who_is_also_a_student(self) -> None:
        result = match(snapshot(student("1", "ada"), teacher("2", "ada")), BY_UPN, self.ONE)
        assert result.linked == {T2: "u1"}
        assert codes(result) == {S1: IssueCode.ROLE_CONFLICT}

    def test_a_teacher_linked_before_the_student_came(self) -> None:
        result = match(snapshot(student("1", "ada"), teacher("2", "x")), BY_UPN, self.ONE, Book({T2: StoredLink("u1")}))
        assert codes(result) == {S1: IssueCode.ROLE_CONFLICT}

    def test_a_student_linked_before_the_teacher_came_keeps_the_link(self) -> None:
        result = match(
            snapshot(student("1", "ada"), teacher("2", "ada")), BY_UPN, self.ONE, Book({S1: StoredLink("u1")})
        )
        assert result.linked == {S1: "u1"}
        assert codes(result) == {T2: IssueCode.DUPLICATE_TARGET}

    def test_one_teacher_goes_before_two_students(self) -> None:
        result = match(snapshot(student("1", "ada"), student("2", "ada"), teacher("1", "ada")), BY_UPN, self.ONE)
        assert result.linked == {T1: "u1"}
        assert codes(result) == {S1: IssueCode.ROLE_CONFLICT, S2: IssueCode.ROLE_CONFLICT}

    def test_two_teachers_and_a_student_all_go_without(self) -> None:
        result = match(snapshot(student("1", "ada"), teacher("1", "ada"), teacher("2", "ada")), BY_UPN, self.ONE)
        assert result.linked == {}
        assert codes(result) == dict.fromkeys([S1, T1, T2], IssueCode.DUPLICATE_TARGET)

    def test_different_rules_may_claim_one_account(self) -> None:
        chosen = profile(students=matching_on("number", None, "mailNickname").students, teachers=BY_UPN.teachers)
        directory = Directory(user("u1", "ada@contoso.com", nickname="700"))
        result = match(snapshot(student("1", "x", number="700"), teacher("1", "ada")), chosen, directory)
        assert result.linked == {T1: "u1"}
        assert codes(result) == {S1: IssueCode.ROLE_CONFLICT}

    def test_a_value_that_thousands_share_takes_no_time(self) -> None:
        people = [student(str(n), "ada") for n in range(30_000)]
        for chosen in (BY_UPN, profile("create")):
            result = match(snapshot(*people), chosen, self.ONE if chosen is BY_UPN else Directory())
            assert set(codes(result).values()) == {IssueCode.DUPLICATE_TARGET}
            assert len(result.issues) == 30_000


class TestCreating:
    def test_create_never_asks_the_rule(self) -> None:
        directory = Directory(user("u1", "x@contoso.com", mail="ada@contoso.com"))
        result = match(snapshot(student("1", "ada")), profile("create"), directory)
        assert codes(result) == {S1: IssueCode.UPN_TAKEN}
        assert result.linked == {}

    def test_match_or_create_matches_first_and_creates_on_none(self) -> None:
        rule = matching_on("number", None, "mailNickname").students.model_copy(update={"domain": "contoso.com"})
        directory = Directory(user("u1", "old@contoso.com", nickname="700"))
        data = snapshot(student("1", "ada", number="700"), student("2", "eve", number="701"))
        result = match(data, profile("match_or_create", students=rule), directory)
        assert result.linked == {S1: "u1"}
        assert [(one.ref, one.names.user_principal_name) for one in result.creates] == [(S2, "eve@contoso.com")]

    def test_match_never_creates(self) -> None:
        result = match(snapshot(student("1", "ada")), BY_UPN, Directory())
        assert codes(result) == {S1: IssueCode.UNMATCHED}
        assert result.creates == []

    @pytest.mark.parametrize("held", [{"upn": "ADA@contoso.com"}, {"upn": "z@contoso.com", "mail": "Ada@Contoso.com"}])
    def test_a_name_somebody_holds_is_never_adopted(self, held: dict[str, str]) -> None:
        upn = held.pop("upn")
        result = match(snapshot(student("1", "ada")), profile("create"), Directory(user("u1", upn, **held)))
        assert codes(result) == {S1: IssueCode.UPN_TAKEN}
        assert result.issues[0].joining_value == "ada@contoso.com"
        assert not (result.creates or result.linked)

    def test_a_name_held_by_another_record_of_ours(self) -> None:
        directory = Directory(user("u1", "ada@contoso.com", anchor=S2))
        for data in (snapshot(student("1", "ada")), snapshot(student("1", "ada"), student("2", "eve"))):
            result = match(data, profile("create"), directory)
            assert codes(result) == {S1: IssueCode.UPN_TAKEN}
            assert "student 2" in result.issues[0].detail

    def test_a_name_held_by_another_source(self) -> None:
        other = DirectoryUser(id="u1", upn="ada@contoso.com", anchor=Anchor("another", RecordKind.TEACHER, "9"))
        result = match(snapshot(student("1", "ada")), profile("create"), Directory(other))
        assert codes(result) == {S1: IssueCode.UPN_TAKEN}
        assert "without our mark" in result.issues[0].detail

    def test_one_username_twice_makes_nothing(self) -> None:
        data = snapshot(student("1", "ada"), student("2", "Ada@CONTOSO.com"), student("3", "eve"))
        result = match(data, profile("create"), Directory())
        assert codes(result) == {S1: IssueCode.DUPLICATE_TARGET, S2: IssueCode.DUPLICATE_TARGET}
        assert [one.ref.sis_id for one in result.creates] == ["3"]

    def test_a_teacher_who_is_also_a_student_gets_one_account(self) -> None:
        data = snapshot(student("1", "ada"), teacher("2", "ada"))
        result = match(data, profile("create"), Directory())
        assert [one.ref for one in result.creates] == [T2]
        assert codes(result) == {S1: IssueCode.ROLE_CONFLICT}

    def test_and_the_student_stays_the_same_issue_once_the_account_is_there(self) -> None:
        data = snapshot(student("1", "ada"), teacher("2", "ada"))
        directory = Directory(user("u1", "ada@contoso.com", anchor=T2))
        result = match(data, profile("create"), directory, Book({T2: StoredLink("u1")}))
        assert codes(result) == {S1: IssueCode.ROLE_CONFLICT}

    def test_illegal_names_are_issues_and_do_not_claim(self) -> None:
        data = snapshot(student("1", "a da"), student("2", "eve", first_name=""))
        result = match(data, profile("create"), Directory())
        assert codes(result) == {S1: IssueCode.INVALID_VALUE, S2: IssueCode.MISSING_ATTRIBUTE}

    def test_an_unverified_domain_makes_nothing(self) -> None:
        result = match(snapshot(student("1", "ada")), profile("create"), Directory(), domains=("fabrikam.com",))
        assert codes(result) == {S1: IssueCode.WRONG_DOMAIN}

    def test_mended_names_of_two_records_never_meet(self) -> None:
        data = snapshot(student("1", "josé"), student("2", "josé"), teacher("1", "josé"))
        result = match(data, profile("create", replace_invalid_characters=True), Directory())
        assert len({one.names.user_principal_name for one in result.creates}) == 3


NAMES = st.sampled_from(["ada", "ADA", "eve", "bob", "", "a b", "ada@contoso.com", "eve@fabrikam.com"])
IDS = st.sampled_from(["1", "2", "3"])
REFS = st.builds(Ref, st.sampled_from([RecordKind.STUDENT, RecordKind.TEACHER]), IDS)
USERS = st.lists(
    st.builds(
        lambda n, name, nick, mark: user(f"u{n}", f"{name or 'x'}@contoso.com", nickname=nick, anchor=mark),
        st.integers(0, 4),
        NAMES.filter(lambda name: "@" not in name),
        NAMES,
        st.none() | REFS,
    ),
    max_size=5,
    unique_by=lambda one: one.id,
)
PEOPLE = st.lists(
    st.builds(student, IDS, NAMES) | st.builds(teacher, IDS, NAMES),
    max_size=6,
    unique_by=lambda one: (type(one), one.id),
)
LINKS = st.dictionaries(REFS, st.sampled_from([f"u{n}" for n in range(5)]), max_size=4).filter(
    lambda links: len(set(links.values())) == len(links)
)
GONE = st.sets(st.sampled_from([f"u{n}" for n in range(5)]), max_size=2)
PROFILES = st.sampled_from([BY_UPN, matching_on("username", None, "mailNickname"), profile("create")])


@given(PEOPLE, USERS, LINKS, GONE, GONE, PROFILES, st.randoms(use_true_random=False))
def test_whatever_comes(people, users, links, deleted, purged, chosen, shuffle: random.Random) -> None:
    gone = deleted | purged
    present = [one for one in users if one.id not in gone]
    book = Book({ref: StoredLink(object_id) for ref, object_id in links.items()})
    directory = Directory(*present, deleted=deleted, purged=purged)
    result = match(snapshot(*people), chosen, directory, book)

    everybody = {Ref(RecordKind(type(one).__name__.lower()), one.id) for one in people}
    parts = [set(result.linked), {one.ref for one in result.creates}, {issue.ref for issue in result.issues}]
    assert set().union(*parts) == everybody
    assert sum(map(len, parts)) == len(everybody), "everybody is in exactly one of linked, creates, issues"

    held = {ref: object_id for ref, object_id in links.items() if object_id not in purged}
    holders = {**held, **result.linked}
    assert len(set(holders.values())) == len(holders), "no account is anybody else's too"
    assert not set(result.linked.values()) & gone
    assert {one.ref for one in result.matched} == set(result.linked) - set(held)
    upns = [one.names.user_principal_name.lower() for one in result.creates]
    assert len(set(upns)) == len(upns)
    assert not {one.upn.lower() for one in present} & set(upns)

    shuffle.shuffle(people)
    shuffle.shuffle(present)
    again = match(snapshot(*people), chosen, Directory(*present, deleted=deleted, purged=purged), book)
    assert again == result
