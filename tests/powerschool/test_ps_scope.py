"""Which schools a profile means."""

from __future__ import annotations

import pytest

from sds_daemon.errors import ConfigurationError
from sds_daemon.roster.records import School
from sds_daemon.sources.base import Scope
from sds_daemon.sources.powerschool.scope import choosable, schools_in_scope, select_schools

SCHOOLS = [
    School(id="1", name="District Office", number="0"),
    School(id="2", name="Graduated Students", number="999999"),
    School(id="3", name="North High", number="101"),
    School(id="4", name="Grove", number="102"),
    School(id="5", name="grove", number="103"),
    School(id="6", name="102", number="104"),
]


def test_all_is_every_real_school() -> None:
    assert set(select_schools(SCHOOLS, "all")) == {"3", "4", "5", "6"}
    assert [school.id for school in choosable(SCHOOLS)] == ["6", "4", "5", "3"]


@pytest.mark.parametrize("entry", ["north high", " North High ", "101"])
def test_by_whole_name_in_any_case_or_by_number(entry: str) -> None:
    assert set(select_schools(SCHOOLS, (entry,))) == {"3"}


def test_a_school_named_twice_is_one() -> None:
    assert set(select_schools(SCHOOLS, ("North High", "101"))) == {"3"}


@pytest.mark.parametrize("entry", ["North", "0", "999999", "District Office", "3", ""])
def test_unknown_entries_are_errors_that_list_the_choices(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no school has the name or number .*North High \(101\)"):
        select_schools(SCHOOLS, (entry,))


@pytest.mark.parametrize("entry", ["Grove", "102"])
def test_ambiguous_entries_are_errors_that_list_the_candidates(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is 2 schools \(.*\(10.\).*use the number"):
        select_schools(SCHOOLS, (entry,))


def test_all_faults_are_told_at_once_and_nothing_is_chosen_silently() -> None:
    with pytest.raises(ConfigurationError) as caught:
        select_schools(SCHOOLS, ("101", "Atlantis", "Grove"))
    assert "Atlantis" in str(caught.value)
    assert "'Grove' is 2 schools" in str(caught.value)


@pytest.mark.parametrize("wanted", ["all", ("101",)])
def test_a_server_of_special_schools_only_has_none_to_choose(wanted: str | tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="lists no school besides"):
        select_schools(SCHOOLS[:2], wanted)


def test_an_empty_list_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="names no school"):
        select_schools(SCHOOLS, ())


@pytest.mark.parametrize(
    ("mine", "other"), [("North High", "101"), ("101", " north HIGH "), ("all", "101"), ("101", "all")]
)
def test_a_school_of_another_profile_is_refused_however_it_is_written(mine: str, other: str) -> None:
    wanted: dict[str, str | tuple[str, ...]] = {"free": ("103",), "pilot": "all" if other == "all" else (other,)}
    if mine == "all":
        del wanted["free"]
    scope = Scope(schools="all" if mine == "all" else (mine, "104"), others=wanted)
    with pytest.raises(ConfigurationError, match=r"profile pilot has .*North High \(101\).* too — give each school"):
        schools_in_scope(SCHOOLS, scope)


def test_other_profiles_with_other_schools_or_faulty_entries_are_no_hindrance() -> None:
    scope = Scope(schools=("101", "103"), others={"pilot": ("Nowhere", "grove", "104"), "late": ("999999",)})
    assert set(schools_in_scope(SCHOOLS, scope)) == {"3", "5"}


def test_a_school_that_was_known_and_is_gone_is_no_fault_while_another_is_left() -> None:
    wanted = ("101", "Atlantis")
    assert set(select_schools(SCHOOLS, wanted, {"Atlantis": "77"})) == {"3"}
    with pytest.raises(ConfigurationError, match="Atlantis"):
        select_schools(SCHOOLS, wanted, {"101": "3"})
    with pytest.raises(ConfigurationError, match="none of Atlantis is listed any more"):
        select_schools(SCHOOLS, ("Atlantis",), {"Atlantis": "77"})


def test_a_school_that_was_known_and_has_another_name_now_is_meant_still() -> None:
    assert set(select_schools(SCHOOLS, ("Old High",), {"Old High": "3"})) == {"3"}


def test_an_entry_that_names_a_school_means_it_whatever_it_meant_before() -> None:
    assert set(select_schools(SCHOOLS, ("North High",), {"North High": "4"})) == {"3"}
