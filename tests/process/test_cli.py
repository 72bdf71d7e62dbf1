"""Exit codes, messages and --json of the real program: what an operator meets when something is wrong."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import COMMAND, PROFILE, Finished, Rig

from process.service import query
from process.town import flat, school, section, start, student, teacher

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

SYNC_KEYS = {
    "run", "profile", "status", "proof", "planned", "applied", "skipped", "held", "issues", "requests", "seconds",
}  # fmt: skip
REQUEST_KEYS = {"reads", "writes", "batches", "refused"}
PUPIL = "Zyxwvutina"
FAMILY = "Qwertzuiopson"
UNUSED_PORT = "https://127.0.0.1:9"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A district in order, after a first sync; tests put back what they change."""
    rig = start(tmp_path_factory.mktemp("cli"))
    try:
        rig.change_school(
            *flat(school(801), teacher(9801, 801), [student(8800 + n, 801) for n in range(12)]),
            *section(7801, 801, 9801, *(8800 + n for n in range(12))),
            student(8890, 801, 7801, first_name=PUPIL, last_name=FAMILY, username="zq8890"),
        )
        rig.edit("profiles.district", schools=["801"])
        rig.run("sync", PROFILE).expect(0)
        yield rig
    finally:
        rig.stop()


def wrong(rig: Rig, code: int, *arguments: str, edit: tuple[str, dict[str, Any]] | None = None) -> str:
    """Run with one thing wrong in the configuration; the error text, with the configuration put back."""
    good = rig.config.read_text()
    try:
        if edit is not None:
            rig.edit(edit[0], **edit[1])
        done = rig.run(*arguments)
    finally:
        rig.config.write_text(good)
    done.expect(code)
    assert "Error" in done.err
    return done.err


class TestExitCodes:
    """Each is provoked."""

    def test_0_done(self, rig: Rig) -> None:
        assert rig.run("sync", PROFILE).expect(0).err == ""

    def test_1_done_with_issues(self, rig: Rig) -> None:
        rig.change_school(student(8891, 801, 7801, username=""))
        done = rig.run("sync", PROFILE).expect(1)
        assert "1 issues (sds-daemon issues list district)" in done.out
        rig.run("sync", PROFILE, "--json").expect(1)
        rig.change_school({"op": "delete_student", "student": 8891})
        rig.run("sync", PROFILE).expect(0)

    @pytest.mark.parametrize("arguments", [("sync",), ("sync", "nobody"), ("preview", "nobody"), ("runs", "show", "x")])
    def test_2_usage(self, rig: Rig, arguments: tuple[str, ...]) -> None:
        assert "Error" in rig.run(*arguments).expect(2).err

    def test_2_unknown_profile_names_the_known(self, rig: Rig) -> None:
        assert "district" in rig.run("sync", "distrikt").expect(2).err

    def test_2_disabled(self, rig: Rig) -> None:
        err = wrong(rig, 2, "sync", PROFILE, edit=("profiles.district", {"enabled": False}))
        assert "sds-daemon profiles enable district" in err

    def test_2_wrong_configuration(self, rig: Rig) -> None:
        err = wrong(rig, 2, "sync", PROFILE, edit=("profiles.district", {"users": "invent", "colour": "red"}))
        assert "config.toml" in err
        assert "users" in err and "colour" in err, "all faults at once"

    def test_2_no_configuration(self, rig: Rig) -> None:
        done = subprocess.run(
            [*COMMAND, "--config", str(rig.folder / "none.toml"), "status"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "none.toml" in done.stderr) == (2, True)

    def test_2_missing_secret_file(self, rig: Rig) -> None:
        err = wrong(rig, 2, "sync", PROFILE, edit=("sources.powerschool", {"client_secret": "file:/nowhere/secret"}))
        assert "/nowhere/secret" in err

    def test_2_suffix_that_is_no_domain_of_the_tenant(self, rig: Rig) -> None:
        err = wrong(rig, 2, "sync", PROFILE, edit=("profiles.district.students", {"domain": "fabrikam.example"}))
        assert err.count("fabrikam.example") == 1, "said once, not in the log as well"
        assert "contoso.edu" in err

    def test_4_held(self, rig: Rig) -> None:
        """Removing more than the limits allow waits; a source that shrank stops the run."""
        good = rig.config.read_text()
        rig.edit("profiles.district.limits", removal_percent=10, removal_floor=1, section_removal_floor=1)
        rig.change_school(*({"op": "drop", "student": 8800 + n, "section": 7801} for n in range(9)))
        try:
            done = rig.run("sync", PROFILE, "--json").expect(4)
            assert done.json["status"] == "held"
            assert done.json["held"] == {"member.remove": 9}
            assert standing(rig)["status"] == "validationError"
        finally:
            rig.config.write_text(good)
            rig.change_school(*({"op": "reenroll", "student": 8800 + n, "section": 7801} for n in range(9)))
        rig.run("sync", PROFILE).expect(0)

    def test_5_defect(self, rig: Rig) -> None:
        """An error of the program's own: one line, and the traceback in a file."""
        code = (
            "import sys, sds_daemon.sync.gate as gate, sds_daemon.cli.main as m\n"
            "def broken(*a, **k): raise ZeroDivisionError('x')\n"
            "import sds_daemon.sync.cycle as c; c.baseline_of = broken; c.gate = broken\n"
            "m.main(sys.argv[1:])\n"
        )
        done = subprocess.run(
            [COMMAND[0], "-c", code, "--config", str(rig.config), "sync", PROFILE],
            capture_output=True, text=True, check=False, env=rig.environment, cwd=rig.folder,
        )  # fmt: skip
        assert done.returncode == 5
        assert done.stderr.splitlines()[-1].startswith("defect: ZeroDivisionError")
        assert "Traceback" not in done.stderr
        rig.run("sync", PROFILE).expect(0)


class TestUnreachable:
    """Exit code 3, and what to do about it."""

    def test_wrong_powerschool_secret(self, rig: Rig) -> None:
        err = wrong(rig, 3, "sync", PROFILE, edit=("sources.powerschool", {"client_secret": "never-the-right-one"}))
        assert "refused client id and secret" in err
        assert "Plugin Management Configuration" in err, "where to look"
        assert "never-the-right-one" not in err

    def test_wrong_entra_secret(self, rig: Rig) -> None:
        err = wrong(rig, 3, "sync", PROFILE, edit=("tenants.contoso", {"client_secret": "never-the-right-one"}))
        assert "never-the-right-one" not in err
        assert "secret" in err

    @pytest.mark.parametrize("command", ["sync", "preview", "check"])
    def test_powerschool_is_down(self, rig: Rig, command: str) -> None:
        good = rig.config.read_text()
        rig.edit("sources.powerschool", url=UNUSED_PORT)
        try:
            done = rig.run(command, PROFILE).expect(3)
        finally:
            rig.config.write_text(good)
        assert "127.0.0.1:9" in done.err or "127.0.0.1 does not accept connections on port 9" in done.out

    def test_graph_is_down(self, rig: Rig) -> None:
        rig.post("faults", {"side": "graph", "kind": "reset"})
        try:
            assert rig.ready["graph"].removeprefix("https://") in wrong(rig, 3, "sync", PROFILE)
        finally:
            rig.delete("faults")

    def test_the_authority_is_down(self, rig: Rig) -> None:
        assert "127.0.0.1:9" in wrong(rig, 3, "sync", PROFILE, edit=("tenants.contoso", {"authority": UNUSED_PORT}))

    @pytest.mark.parametrize("table", ["sources.powerschool", "tenants.contoso"])
    def test_the_wrong_ca(self, rig: Rig, table: str) -> None:
        import trustme

        other = rig.folder / "other-ca.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        err = wrong(rig, 3, "sync", PROFILE, edit=(table, {"ca_file": str(other)}))
        assert "certificate" in err.lower()
        assert "ca_file" in err

    def test_maintenance(self, rig: Rig) -> None:
        rig.post("powerschool/settings", {"maintenance": True})
        try:
            assert "maintenance" in wrong(rig, 3, "sync", PROFILE).lower()
        finally:
            rig.post("powerschool/settings", {"maintenance": False})

    def test_plugin_without_v1_access(self, rig: Rig) -> None:
        rig.post("powerschool/settings", {"v1_access": "NONE", "revoke_tokens": True})
        try:
            assert "accessLevelV1Api" in wrong(rig, 3, "sync", PROFILE)
        finally:
            rig.post("powerschool/settings", {"v1_access": "READ"})

    def test_a_permission_is_missing(self, rig: Rig) -> None:
        rig.change_directory({"op": "revoke_role", "role": "Group.ReadWrite.All"})
        try:
            assert "Group.ReadWrite.All" in wrong(rig, 3, "sync", PROFILE)
        finally:
            rig.change_directory({"op": "grant_role", "role": "Group.ReadWrite.All"}, {"op": "expire_tokens"})

    def test_a_failed_run_is_an_object_with_json(self, rig: Rig) -> None:
        rig.run("sync", PROFILE).expect(0)
        rig.post("powerschool/settings", {"maintenance": True})
        try:
            done = rig.run("sync", PROFILE, "--json").expect(3)
        finally:
            rig.post("powerschool/settings", {"maintenance": False})
        assert done.json["status"] == "failed"
        assert standing(rig)["status"] == "error"
        rig.run("sync", PROFILE).expect(0)
        assert standing(rig)["status"] == "success"


class TestDisk:
    """State that cannot be written."""

    def test_a_state_directory_for_reading_only(self, rig: Rig) -> None:
        """Run without root's power to write everywhere."""
        state = rig.folder / "state"
        files = [state, *state.glob("state.db*")]
        modes = {path: path.stat().st_mode for path in files}
        for path in files:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            done = unprivileged(rig, "sync", PROFILE)
        finally:
            for path, mode in modes.items():
                if path.exists():
                    path.chmod(mode)
        assert (done.code, "Traceback" in done.err) == (3, False)
        assert str(state) in done.err

    def test_a_full_disk(self, rig: Rig, tmp_path: Path) -> None:
        """No file may grow beyond a size that the first sync of a new state needs."""
        good = rig.config.read_text()
        rig.edit("daemon", state_dir=str(tmp_path / "full"), database=str(tmp_path / "full" / "state.db"))
        before = rig.request_mark()
        try:
            done = limited(rig, 200_000, "sync", PROFILE)
        finally:
            rig.config.write_text(good)
        assert (done.code, "Traceback" in done.err) == (3, False)
        assert "state database" in done.err
        assert rig.writes_since(before) == []


def limited(rig: Rig, size: int, *arguments: str) -> Finished:
    """A command for which no file may grow beyond so many bytes."""
    return spawned(rig, arguments, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


def unprivileged(rig: Rig, *arguments: str) -> Finished:
    """A command that file permissions hold for: as root, without the capability to pass over them."""
    drop = (lambda: drop_capabilities()) if os.geteuid() == 0 else (lambda: None)
    return spawned(rig, arguments, drop)


def drop_capabilities() -> None:
    """Take CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2) from the bounding set, so that exec loses them."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):
        if libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            raise OSError(ctypes.get_errno(), "prctl")


def spawned(rig: Rig, arguments: tuple[str, ...], before: Any) -> Finished:
    """A command with something done in the child before it starts."""
    done = subprocess.run(
        [*COMMAND, "--config", str(rig.config), *arguments], capture_output=True, text=True, timeout=110, check=False,
        env=rig.environment, cwd=rig.folder, preexec_fn=before,
    )  # fmt: skip
    return Finished(done.returncode, done.stdout, done.stderr)


def standing(rig: Rig) -> dict[str, Any]:
    """What `status --json` says of the profile."""
    found: dict[str, Any] = rig.run("status", PROFILE, "--json").expect(0).json["profiles"][0]
    return found


class TestStatus:
    """SDS's words."""

    def test_paused_when_disabled(self, rig: Rig) -> None:
        rig.run("sync", PROFILE).expect(0)
        rig.run("profiles", "disable", PROFILE).expect(0)
        try:
            assert standing(rig)["status"] == "paused"
        finally:
            rig.run("profiles", "enable", PROFILE).expect(0)
        assert standing(rig)["status"] == "success"

    def test_in_progress(self, rig: Rig) -> None:
        slow = {"side": "powerschool", "path": r"\.students$", "kind": "delay", "seconds": 1000, "times": 1}
        rig.post("faults", slow)
        process = rig.spawn("sync", PROFILE)
        try:
            while rig.get("faults")["faults"][0]["hits"] == 0:
                assert process.poll() is None
            assert standing(rig)["status"] == "inProgress"
        finally:
            process.communicate(timeout=60)
            rig.delete("faults")
        assert process.returncode == 0
        assert standing(rig)["status"] == "success"

    def test_quarantined(self, rig: Rig) -> None:
        """After ten failures in a row."""
        rig.run("sync", PROFILE).expect(0)
        good = rig.config.read_text()
        rig.edit("sources.powerschool", client_secret="never-the-right-one")
        try:
            for _ in range(9):
                rig.run("sync", PROFILE).expect(3)
            assert standing(rig)["status"] == "error"
            rig.run("sync", PROFILE).expect(3)
        finally:
            rig.config.write_text(good)
        found = standing(rig)
        assert (found["status"], found["failures"], bool(found["reason"])) == ("quarantined", 10, True)
        rig.run("sync", PROFILE).expect(0)
        found = standing(rig)
        assert (found["status"], found["failures"]) == ("success", 0)

    def test_enabling_edits_one_line(self, rig: Rig) -> None:
        before = rig.config.read_text()
        marked = before.replace("enabled = true", "enabled   =  true # since August")
        rig.config.write_text(marked)
        try:
            rig.run("profiles", "disable", PROFILE).expect(0)
            now = rig.config.read_text()
            pairs = [pair for pair in zip(marked.splitlines(), now.splitlines(), strict=True) if pair[0] != pair[1]]
            assert len(pairs) == 1
            assert "false" in pairs[0][1] and "# since August" in pairs[0][1]
            rig.run("profiles", "enable", PROFILE).expect(0)
            assert rig.config.read_text() == marked
        finally:
            rig.config.write_text(before)


READING = [
    ("check", PROFILE), ("preview", PROFILE), ("status",), ("status", PROFILE), ("runs",), ("runs", "show", "1"),
    ("issues", "list"), ("issues", "list", PROFILE), ("issues", "export", PROFILE), ("links", "show", "8801"),
    ("profiles", "list"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", READING, ids=[" ".join(each) for each in READING])
def test_reading_commands_speak_json(rig: Rig, arguments: tuple[str, ...]) -> None:
    done = rig.run(*arguments, "--json").expect(0)
    assert isinstance(json.loads(done.out), dict)
    assert done.err == ""
    assert rig.run(*arguments).expect(0).out


def test_sync_prints_one_object(rig: Rig) -> None:
    rig.change_school(student(8895, 801, 7801))
    done = rig.run("sync", PROFILE, "--json").expect(0)
    assert done.out.count("\n") == 1
    assert done.err == ""
    found = done.json
    assert set(found) >= SYNC_KEYS
    assert set(found["requests"]) == REQUEST_KEYS
    assert (found["profile"], found["status"]) == (PROFILE, "success")
    assert found["planned"] == found["applied"] == {"user.create": 1, "school_user.add": 1, "member.add": 1}
    assert found["proof"]["proved"] is True
    again = rig.run("sync", PROFILE, "--json").expect(0).json
    assert (again["status"], again["planned"], again["requests"]["writes"]) == ("nothing_to_do", {}, 0)


def test_backup_is_a_whole_copy(rig: Rig, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    rig.run("backup", str(copy)).expect(0)
    assert copy.stat().st_mode & 0o777 == 0o600
    good = rig.config.read_text()
    rig.edit("daemon", database=str(copy))
    try:
        assert rig.run("runs", "--json").expect(0).json["runs"]
        assert rig.sync()["status"] == "nothing_to_do"
    finally:
        rig.config.write_text(good)


def test_nothing_is_told_that_must_not_be(tmp_path: Path) -> None:
    """Secrets, first passwords and names of pupils in all that is said and kept, on good days and bad ones."""
    rig = start(tmp_path)
    try:
        rig.change_school(
            *flat(school(801), teacher(9801, 801), section(7801, 801, 9801)),
            student(8890, 801, 7801, first_name=PUPIL, last_name=FAMILY, username="zq8890"),
            student(8891, 801, 7801, first_name=PUPIL, last_name=FAMILY, username=f"{PUPIL} {FAMILY}!"),
            student(8892, 801, 7801, first_name=PUPIL, last_name=FAMILY, username="zq8890"),
            student(8893, 801, 7801, first_name="", last_name=FAMILY, username="zq8893"),
        )
        rig.edit("profiles.district", schools=["801"])
        rig.change_directory({"op": "create_user", "userPrincipalName": "zq8890@contoso.edu"})
        said = []
        for arguments in (("-v", "sync", PROFILE), ("-v", "sync", PROFILE, "--json"), ("-v", "check", PROFILE)):
            done = rig.run(*arguments)
            said.append(done.err)
        rig.post("powerschool/settings", {"maintenance": True})
        said.append(rig.run("-v", "sync", PROFILE).expect(3).err)
        rig.post("powerschool/settings", {"maintenance": False})
        rig.change_school({"op": "update_student", "student": 8891, "username": "zq8891"})
        said.append(rig.run("-v", "sync", PROFILE).err)
        text = "\n".join(said)
        assert PUPIL.lower() not in text.lower()
        assert FAMILY.lower() not in text.lower()
        assert "run 1 ended" in text, "the level at which the journal is kept"
        secrets = {(rig.folder / f"{name}.secret").read_text().strip() for name in ("powerschool", "entra")}
        passwords = (rig.folder / "state" / "passwords-district.csv").read_text()
        firsts = {line.rsplit(",", 1)[1] for line in passwords.splitlines()[1:]}
        assert firsts
        kept = [path for path in (rig.folder / "state").rglob("*") if path.is_file() and "passwords" not in path.name]
        for secret in {*secrets, *firsts}:
            assert secret not in text
            for path in kept:
                assert secret.encode() not in path.read_bytes(), path.name
        tokens = re.compile(rb"eyJ[\w-]{8,}\.[\w-]{8,}\.")
        assert not tokens.search(b"".join(path.read_bytes() for path in kept)), "no token is kept"
        assert query(rig, "SELECT count(*) FROM run")[0][0] >= 4
    finally:
        rig.stop()
