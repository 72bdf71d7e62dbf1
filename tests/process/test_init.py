"""`sds-daemon init` as a newcomer meets it: from two URLs to a running profile, through a pipe and on a terminal."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import COMMAND, Finished, Rig

from process.terminal import Terminal

pytestmark = pytest.mark.process

WRONG = "11111111-2222-3333-4444-555555555555"
SERVER = ("A name for this server", "Address of the server", "Client ID", "Client secret", "Keep it", "PEM file")
TENANT = (
    *("A name for this tenant", "Which cloud", "token authority", "Address of Graph", "Directory (tenant) ID"),
    *("Application (client) ID", "prove itself", "Client secret", "Keep it", "PEM file"),
)
LAST = ("Which schools?", "Sync these attributes", "leaves a section", "Which mail domain")
STEPS = ("Name", "PowerSchool", "Microsoft 365", "Accounts", "Students", "Teachers", "Schools", "Attributes", "Classes")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("init")
    with Rig(folder, "--students", "30", "--seed", "7", "--time-scale", "50") as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where a first configuration will be."""
    return tmp_path / "etc" / "config.toml"


def secret(rig: Rig, side: str) -> str:
    """What the console of PowerSchool ("powerschool") or Entra ("entra") shows."""
    return (Path(rig.ready["directory"]) / f"{side}.secret").read_text().strip()


def powerschool(rig: Rig, password: str | None = None) -> list[str]:
    """Answers about a new server: name, URL, id, secret, kept in a file, CA."""
    ready = rig.ready
    return [
        "north",
        ready["powerschool"],
        ready["powerschool_client_id"],
        password or secret(rig, "powerschool"),
        "y",
        ready["ca_file"],
    ]


def tenant(rig: Rig, password: str | None = None) -> list[str]:
    """Answers about a new tenant."""
    ready = rig.ready
    ids = [ready["tenant_id"], ready["client_id"]]
    word = password or secret(rig, "entra")
    return ["contoso", "custom", ready["authority"], ready["graph"], *ids, "secret", word, "y", ready["ca_file"]]


def creating(country: str = "us") -> list[str]:
    """Answers about one role when accounts are made: domain, licence, country."""
    return ["contoso.edu", "1", country]


REST = ["all", "y", "sds", "none"]


def init(rig: Rig, config: Path, answers: list[str], *options: str) -> Finished:
    """Answers through a pipe, to its end."""
    done = subprocess.run(
        [*COMMAND, "--config", str(config), *options, "init"],
        input="".join(f"{line}\n" for line in answers),
        capture_output=True,
        text=True,
        timeout=110,
        env=rig.environment,
        cwd=rig.folder,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def run(rig: Rig, config: Path, *arguments: str) -> Finished:
    """A command on the configuration that was written."""
    done = subprocess.run(
        [*COMMAND, "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        env=rig.environment,
        cwd=rig.folder,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def tables(config: Path) -> dict[str, Any]:
    return tomllib.loads(config.read_text())


def test_from_two_urls_to_a_running_profile(rig: Rig, config: Path) -> None:
    """Wrong secrets first: the questions go on only once the connection works."""
    answers = [
        "pilot",
        *powerschool(rig, WRONG),
        "answer",
        *powerschool(rig),
        *tenant(rig, "not the secret"),
        "answer",
        *tenant(rig),
        "create",
        *creating(),
        *creating(""),
        *REST,
        "write",
    ]
    done = init(rig, config, answers).expect(0)

    assert done.out.count("The test failed.") == 2
    assert done.out.count("The connection works.") == 2
    assert "PowerSchool refused client id and secret" in done.out
    assert "the client secret is wrong (AADSTS7000215)" in done.out
    assert [done.out.index(f": {step}\n") for step in STEPS] == sorted(done.out.index(f": {step}\n") for step in STEPS)
    assert "accounts to make" in done.out
    for said in (secret(rig, "powerschool"), secret(rig, "entra"), WRONG, "not the secret"):
        assert said not in done.out + done.err

    written = tables(config)
    assert written["profiles"]["pilot"]["enabled"] is False
    assert written["profiles"]["pilot"]["students"] == {
        "domain": "contoso.edu",
        "licenses": ["STANDARDWOFFPACK_STUDENT"],
        "usage_location": "US",
    }
    assert written["sources"]["north"]["client_secret"].startswith("file:")
    assert config.stat().st_mode & 0o777 == 0o600
    for path in config.parent.glob("*.secret"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(config.parent.iterdir())) == 3

    refused = run(rig, config, "sync", "pilot").expect(2)
    assert "profiles enable pilot" in refused.err
    run(rig, config, "check", "pilot").expect(0)
    run(rig, config, "profiles", "enable", "pilot").expect(0)
    done = run(rig, config, "sync", "pilot").expect(0, 1)
    assert rig.directory().groups and rig.directory().schools
    assert run(rig, config, "status", "--json").expect(0).json["profiles"][0]["status"] == "success"


def test_existing_file_keeps_its_comments_and_offers_its_connections(rig: Rig, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    text = "# ours, since 2019\n" + rig.config.read_text().partition("[profiles.")[0] + "# the end  \n"
    config.write_text(text)
    config.chmod(0o640)
    before = {path.name for path in tmp_path.iterdir()}

    done = init(rig, config, ["second", "powerschool", "contoso", "match", *["", "", ""] * 2, *REST, "write"]).expect(0)

    assert "1  powerschool  in config.toml: https://127.0.0.1" in done.out
    assert config.read_text().startswith(text)
    assert config.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in tmp_path.iterdir()} - before <= {"state"}
    profile = tables(config)["profiles"]["second"]
    assert (profile["source"], profile["tenant"], profile["users"]) == ("powerschool", "contoso", "match")
    rules = {"source_property": "username", "suffix": "contoso.edu", "target_property": "userPrincipalName"}
    assert profile["students"] == profile["teachers"] == rules


@pytest.mark.parametrize("given", [0, 8, 26])
def test_answers_that_end_early_change_nothing(rig: Rig, tmp_path: Path, given: int) -> None:
    answers = ["pilot", *powerschool(rig), *tenant(rig), "create", *creating(), *creating(), *REST]
    config = tmp_path / "config.toml"
    config.write_text("# mine\n[daemon]\nlog_level = 'INFO'\n")

    done = init(rig, config, answers[:given]).expect(2)

    assert "nothing was written" in done.err
    assert config.read_text() == "# mine\n[daemon]\nlog_level = 'INFO'\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_stop_at_the_end_makes_nothing(rig: Rig, config: Path) -> None:
    answers = ["pilot", *powerschool(rig), *tenant(rig), "create", *creating(), *creating(), *REST, "stop"]
    done = init(rig, config, answers).expect(0)
    assert "Nothing was written." in done.out
    assert not config.parent.exists()


def test_unfit_answers_are_refused_at_once_and_going_back_keeps_the_others(rig: Rig, config: Path) -> None:
    good = powerschool(rig)
    answers = [
        "not a name!",
        "pilot",
        "north",
        "http://powerschool.contoso.edu",
        f"{rig.ready['powerschool']}/ws/v1",
        *good[1:4],
        "y",
        "/no/such/file.pem",
        rig.ready["ca_file"],
        *["contoso", "custom", f"{rig.ready['authority']}/v2.0", rig.ready["authority"], rig.ready["graph"]],
        *["contoso.onmicrosoft.com", *tenant(rig)[4:]],
        *["somehow", "create"],
        *["example.org", "contoso.edu", "7", "1", "Atlantis", "us"],
        *creating(""),
        *["Hogwarts", "all"],
        *REST[1:],
        "6",  # back to the teachers; what follows keeps its answers
        *["", "none", "-"],
        *["", "", "", ""],
        "write",
    ]
    done = init(rig, config, answers).expect(0)

    for words in (
        "is not a fit name",
        "is plain http, and secrets would cross the network",
        "is a page of the server, not its root",
        "there is no file /no/such/file.pem",
        "has a path or version (/v2.0)",
        "is not a tenant id",
        "answer with a number from 1 to 3",
        "'7' is not in the list",
        "is not a country code",
        "no school has the name or number 'Hogwarts'",
    ):
        assert words in done.out, words
    profile = tables(config)["profiles"]["pilot"]
    assert profile["students"]["licenses"] == ["STANDARDWOFFPACK_STUDENT"]
    assert profile["teachers"] == {"domain": "contoso.edu"}
    assert profile["schools"] == "all"


def test_school_of_another_profile_is_refused(rig: Rig, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(rig.config.read_text())
    numbers = [str(school["number"]) for school in rig.district()["schools"]]
    number = next(each for each in numbers if each not in ("0", "999999"))
    answers = ["district", "second", "powerschool", "contoso", "create", *creating(), *creating(), "all", number]

    done = init(rig, config, answers).expect(2)

    assert "has a [profiles.district] already" in done.out
    assert done.out.count("shares schools with [profiles.district]") == 2
    assert config.read_text() == rig.config.read_text()


def test_file_with_faults_is_mended_first(rig: Rig, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[sources.x]\nurll = 'https://x'\n")
    done = init(rig, config, ["pilot"]).expect(2)
    assert "did you mean url?" in done.err
    assert "Name of the profile" not in done.out


def test_on_a_terminal_secrets_are_hidden_and_a_grant_made_meanwhile_is_found(rig: Rig, config: Path) -> None:
    granted = rig.get("entra/settings")["roles"]
    rig.post("entra/settings", {"roles": [role for role in granted if not role.startswith("Group.")]})
    try:
        with Terminal([*COMMAND, "--config", str(config), "init"], rig.environment, rig.folder) as terminal:
            terminal.answer("Name of the profile", "pilot")
            for question, line in zip(SERVER, powerschool(rig), strict=True):
                terminal.answer(question, line)
            terminal.expect("The connection works.")
            for question, line in zip(TENANT, tenant(rig), strict=True):
                terminal.answer(question, line)
            terminal.expect("the application permission Group.Read")
            terminal.expect("The test failed.")
            rig.post("entra/settings", {"roles": granted})
            terminal.answer("What now?", "test")
            terminal.expect("The connection works.")
            terminal.answer("Where do accounts come from?", "match")
            for question in ("Which value", "Which domain", "Which property") * 2:
                terminal.answer(question, "")
            for question, line in zip(LAST, REST, strict=True):
                terminal.answer(question, line)
            terminal.answer("What now?", "write")
            terminal.expect("profiles enable pilot")
            assert terminal.end() == 0
    finally:
        rig.post("entra/settings", {"roles": granted})
    assert secret(rig, "powerschool") not in terminal.screen
    assert secret(rig, "entra") not in terminal.screen
    assert tables(config)["profiles"]["pilot"]["enabled"] is False


def test_control_c_changes_nothing(rig: Rig, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    with Terminal([*COMMAND, "--config", str(config), "init"], rig.environment, tmp_path) as terminal:
        terminal.answer("Name of the profile", "pilot")
        for question, line in zip(("A name for this server", "Address of the server"), powerschool(rig), strict=False):
            terminal.answer(question, line)
        terminal.expect("Client ID")
        terminal.press_control_c()
        assert terminal.end() == 130
    assert "Nothing was written." in terminal.screen
    assert "Traceback" not in terminal.screen
    assert list(tmp_path.iterdir()) == []
