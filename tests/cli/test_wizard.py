"""The wizard's questions one by one: which answers they take, which choices they offer."""

from __future__ import annotations

import io
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sds_daemon.cli.wizard import connections
from sds_daemon.cli.wizard.ask import Asker, Option
from sds_daemon.cli.wizard.connections import ask_source
from sds_daemon.cli.wizard.draft import Draft, Place, open_draft
from sds_daemon.cli.wizard.people import ask_role, ask_users
from sds_daemon.cli.wizard.scope import ask_attributes, ask_rules, ask_schools
from sds_daemon.clock import FixedClock
from sds_daemon.errors import ConfigurationError, UsageError
from sds_daemon.sources.base import SchoolChoice
from sds_daemon.targets.base import Sku, TenantFacts

Typing = Callable[..., Asker]

SCHOOLS = [
    SchoolChoice(id="1", number="10", name="Oak High"),
    SchoolChoice(id="2", number="20", name="Maple, Lower School"),
    SchoolChoice(id="3", number="30", name="Birch"),
    SchoolChoice(id="4", number="40", name="Birch"),
]
OPTIONS = [Option("a"), Option("b"), Option("c"), Option("d")]


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Typing:
    """`typing("one", "two")`: an asker that will be answered with these lines, and then with the end of the pipe."""

    def asker(*lines: str) -> Asker:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return Asker()

    return asker


@pytest.fixture
def draft(config: Path, clock: FixedClock) -> Draft:
    """A third profile beside the two of the file, with the connections chosen."""
    draft = open_draft(config, clock)
    draft.name, draft.source_name, draft.tenant_name = "third", "district", "contoso"
    draft.schools = list(SCHOOLS)
    draft.tenant_facts = facts()
    return draft


def facts(**changes: Any) -> TenantFacts:
    values: dict[str, Any] = {
        "tenant_id": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1",
        "display_name": "Contoso",
        "education": True,
        "on_premises_sync": False,
        "domains": ("contoso.edu", "students.contoso.edu"),
        "default_domain": "contoso.edu",
        "skus": {
            "1": Sku(id="1", part_number="A3", seats=10, seats_free=3),
            "2": Sku(id="2", part_number="A5", seats=10, seats_free=-1),
            "3": Sku(id="3", part_number="OLD", seats=0, seats_free=0, enabled=False),
        },
        "missing_permissions": (),
        "class_api": "education",
        "writable": {},
    }
    return TenantFacts(**{**values, **changes})


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ("1,3", ("a", "c")),
        ("3, 1", ("a", "c")),
        ("2-4", ("b", "c", "d")),
        ("D,a", ("a", "d")),
        ("all", ("a", "b", "c", "d")),
        ("none", ()),
        ("", ("b",)),
    ],
)
def test_several_of_a_list(typing: Typing, answer: str, chosen: tuple[str, ...]) -> None:
    assert typing(answer).choose_many("Which?", OPTIONS, default=("b",)) == chosen


@pytest.mark.parametrize("answer", ["5", "0", "1-9", "0-2", "e", "1,,x", "-1"])
def test_what_is_not_in_the_list_is_asked_again(
    typing: Typing, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typing(answer, "1").choose_many("Which?", OPTIONS) == ("a",)
    assert "is not in the list" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "chosen"), [("2", "b"), ("C", "c"), ("", "d")])
def test_one_of_a_list(typing: Typing, answer: str, chosen: str) -> None:
    assert typing(answer).choose("Which?", OPTIONS, default="d") == chosen


def test_choice_without_default_needs_an_answer(typing: Typing) -> None:
    assert typing("", "9", "a").choose("Which?", OPTIONS, default="gone") == "a"


def test_secret_is_never_repeated(typing: Typing, capsys: pytest.CaptureFixture[str]) -> None:
    assert typing("s3cret-value").secret("Secret") == "s3cret-value"
    assert "s3cret" not in capsys.readouterr().out


def test_end_of_the_answers_names_the_question(typing: Typing) -> None:
    with pytest.raises(UsageError, match="ended at the question “Name”"):
        typing("").text("Name")


def test_optional_text_can_be_emptied(typing: Typing) -> None:
    assert typing("-").text("CA", default="/old.pem", optional=True) == ""
    assert typing("").text("CA", default="/old.pem", optional=True) == "/old.pem"


def test_rules_that_can_never_match_are_not_offered(
    typing: Typing, draft: Draft, capsys: pytest.CaptureFixture[str]
) -> None:
    draft.profile["users"] = "match"
    ask_role(typing("number", "none"), draft, "students")
    assert draft.profile["students"] == {
        "source_property": "number",
        "suffix": None,
        "target_property": "mailNickname",
    }
    assert "Only mailNickname" in capsys.readouterr().out
    ask_role(typing("secondary_email", "mail"), draft, "teachers")
    assert draft.profile["teachers"] == {"source_property": "secondary_email", "target_property": "mail"}
    ask_role(typing("username", "students.contoso.edu", "mailNickname", "1"), draft, "students")
    assert draft.profile["students"]["target_property"] == "userPrincipalName"
    ask_role(typing("username", "none", "mailNickname"), draft, "students")
    assert draft.profile["students"]["target_property"] == "mailNickname"


def test_matching_asks_for_neither_domain_nor_licences(typing: Typing, draft: Draft) -> None:
    draft.profile["users"] = "match"
    draft.profile["students"] = {"domain": "contoso.edu", "licenses": ["A3"], "usage_location": "US"}
    ask_role(typing("", "", ""), draft, "students")
    assert set(draft.profile["students"]) == {"source_property", "suffix", "target_property"}


def test_creating_asks_for_no_rule_and_lists_seats(
    typing: Typing, draft: Draft, capsys: pytest.CaptureFixture[str]
) -> None:
    draft.profile["users"] = "create"
    ask_role(typing("", "A3,A5", "", "gb"), draft, "students")
    assert draft.profile["students"] == {"domain": "contoso.edu", "licenses": ["A3", "A5"], "usage_location": "GB"}
    out = capsys.readouterr().out
    assert "3 of 10 seats free" in out
    assert "no seat is free in A5" in out
    assert "an answer is needed" in out
    assert "OLD" not in out


def test_synchronised_tenant_is_advised_to_match(typing: Typing, draft: Draft) -> None:
    draft.tenant_facts = facts(on_premises_sync=True)
    ask_users(typing(""), draft)
    assert draft.profile["users"] == "match"


@pytest.mark.parametrize(
    ("answer", "schools"),
    [
        ("10", ["10"]),
        ("oak high", ["Oak High"]),
        ("Maple, Lower School", ["Maple, Lower School"]),
        ("30, Oak High, 30", ["30", "Oak High"]),
    ],
)
def test_schools_by_name_or_number(typing: Typing, draft: Draft, answer: str, schools: list[str]) -> None:
    del draft.written["profiles"]["later"]
    ask_schools(typing(answer), draft)
    assert draft.profile["schools"] == schools


def test_unknown_ambiguous_and_taken_schools_are_refused(
    typing: Typing, draft: Draft, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_schools(typing("", "50", "Birch", "Oak High", "all", ",", "40"), draft)
    assert draft.profile["schools"] == ["40"]
    out = capsys.readouterr().out
    for words in ("no school has the name or number '50'", "'Birch' is 2 schools; give the number", "[profiles.later]"):
        assert words in out


def test_attributes_can_be_chosen_and_the_usual_ones_taken_back(typing: Typing, draft: Draft) -> None:
    ask_attributes(typing("n", "grade,state_id", "none", "", ""), draft)
    assert draft.profile["students"]["attributes"] == ["grade", "state_id"]
    assert draft.profile["teachers"]["attributes"] == []
    ask_attributes(typing("y"), draft)
    assert "attributes" not in draft.profile["students"]


def test_alias_of_a_second_source_is_asked_for(typing: Typing, draft: Draft) -> None:
    draft.source_name = "north"
    draft.source = {
        "type": "powerschool",
        "url": "https://north.contoso.edu",
        "client_id": "x",
        "client_secret": "y",
    }
    ask_rules(typing("mirror", "contoso.edu", "Section_{sis_id}", ""), draft)
    assert draft.profile["class_alias"] == "North_{sis_id}"
    assert (draft.profile["policy"], draft.profile["class_domain"]) == ("mirror", "contoso.edu")


def test_typed_secrets_go_into_files_of_their_own_or_nowhere(draft: Draft, config: Path) -> None:
    draft.source_name = "north"
    draft.source = {"type": "powerschool", "url": "https://n.contoso.edu", "client_id": "x", "client_secret": "s3cret"}
    draft.keep["sources", "client_secret"] = Place("north.powerschool.secret", "file:north.powerschool.secret")
    draft.profile = {"schools": "all", "users": "match", "class_alias": "North_{sis_id}"}
    draft.settings()
    draft.write()
    kept = config.parent / "north.powerschool.secret"
    assert kept.read_text() == "s3cret\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in config.read_text()
    assert tomllib.loads(config.read_text())["sources"]["north"]["client_secret"] == "file:north.powerschool.secret"


def test_secret_file_goes_when_the_configuration_cannot_be_written(draft: Draft, config: Path) -> None:
    draft.source_name = "north"
    draft.source = {"type": "powerschool", "url": "https://n.contoso.edu", "client_id": "x", "client_secret": "s3cret"}
    draft.keep["sources", "client_secret"] = Place("north.powerschool.secret", "file:north.powerschool.secret")
    draft.name = "pilot"  # written by somebody else in the meantime
    before = config.read_text()
    with pytest.raises(UsageError):
        draft.write()
    assert config.read_text() == before
    assert not (config.parent / "north.powerschool.secret").exists()


def test_folder_that_cannot_be_written_is_said_before_the_first_question(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        open_draft(tmp_path / "new" / "config.toml", clock)


def test_secrets_go_among_the_credentials_of_the_service_where_it_has_a_folder(
    typing: Typing, draft: Draft, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are those the unit loads; a second server gets names of its own."""
    folder = config.parent / "credentials"
    folder.mkdir()
    monkeypatch.setattr(connections, "_passes", lambda *_: True)
    answers = ["another", "north", "https://n.contoso.edu", "the-id", "s3cret", "y", "-"]
    ask_source(typing(*answers), draft)
    draft.profile = {"schools": "all", "users": "match", "class_alias": "North_{sis_id}"}
    draft.write()
    assert (folder / "powerschool-secret").read_text() == "s3cret\n"
    source = tomllib.loads(config.read_text())["sources"]["north"]
    assert source["client_id"] == "credential:powerschool-id"
    assert source["client_secret"] == "credential:powerschool-secret"

    second = open_draft(config, draft.clock)
    ask_source(typing("another", "south", "https://s.contoso.edu", "id2", "other", "y", "-"), second)
    assert second.keep["sources", "client_secret"].reference == "credential:south-secret"
    ask_source(typing("another", "south", "", "", "", "n", ""), second)
    assert second.source == {
        "type": "powerschool",
        "url": "https://s.contoso.edu",
        "client_id": "id2",
        "client_secret": "other",
    }
    assert second.keep == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root shares a file with another group")
def test_new_file_of_root_can_be_read_by_the_group_its_folder_is_shared_with(tmp_path: Path, clock: FixedClock) -> None:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o750)
    os.chown(folder, 0, 60_001)
    draft = open_draft(folder / "config.toml", clock)
    draft.name, draft.source_name, draft.tenant_name = "pilot", "north", "contoso"
    draft.profile = {"schools": "all", "users": "match"}
    draft.write()
    found = draft.path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, 60_001, 0o640)
