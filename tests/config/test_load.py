"""Finding and reading the file, the environment over it, and the words of every single-key fault."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from sds_daemon.config import load as loading
from sds_daemon.config.load import find_config, load
from sds_daemon.errors import ConfigurationError, UsageError

Write = Callable[..., Path]
Faults = Callable[..., list[str]]


def test_a_sound_file_loads_with_defaults(write: Write, tmp_path: Path) -> None:
    settings = load(write(), {})
    profile = settings.profile("pilot")
    assert (profile.enabled, profile.policy, profile.users, profile.pause) == (False, "sds", "match", "auto")
    assert profile.schools == ("Maple Street Elementary", "100")
    assert profile.students.suffix == "students.contoso.edu"
    assert profile.students.attributes == ("student_number", "grade", "school")
    assert profile.teachers.attributes == ("teacher_number", "school")
    assert settings.daemon.state_dir == tmp_path / "state"
    assert settings.daemon.database_path == tmp_path / "state" / "state.db"
    assert settings.sources["district"].name == "district"
    assert settings.tenants["contoso"].lag_horizon == 900
    assert settings.warnings == ()


def test_everything_wrong_is_reported_at_once(write: Write, faults: Faults) -> None:
    path = write(
        {
            'type = "powerschool"': 'type = "powerschol"',
            "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1": "contoso",
            'source = "district"': 'source = "distrit"\nlead_day = 3',
            'users = "match"': 'users = "match"\nlead_days = "3"',
            'suffix = "students.contoso.edu"': 'source_property = "number"',
        },
        "[deamon]\nx = 1\n",
    )
    found = faults(path)
    assert [line.partition(" — ")[0] for line in found] == [
        "deamon: is not a table of the configuration",
        "[sources.district] type: 'powerschol' is not one of the choices",
        "[tenants.contoso] tenant_id: 'contoso' is not a tenant id",
        "[profiles.pilot] lead_days: must be a whole number, not text",
        "[profiles.pilot] lead_day: is not a key of this table",
        "[profiles.pilot] source: there is no [sources.distrit]",
        "[profiles.pilot.students] suffix: a number without a suffix never equals a userPrincipalName, "
        "which holds a domain",
    ]
    assert all(remedy for line in found for remedy in [line.partition(" — ")[2]])
    assert found[4].endswith("did you mean lead_days?")
    assert found[5].endswith("did you mean district?")


@pytest.mark.parametrize(
    ("changes", "table", "what", "remedy"),
    [
        ({"[daemon]": "[daemon]\nlog_level = 'LOUD'"}, "daemon", "log_level: 'LOUD' is not", '"DEBUG", "INFO"'),
        ({'state_dir = "state"': 'state_dir = "config.toml"'}, "daemon", "config.toml is a file", "name a directory"),
        ({"[daemon]": "[daemon]\ndatabase = '.'"}, "daemon", "is a directory", "name a file in it"),
        ({'users = "match"': 'users = "match"\nlead_days = 2.5'}, "profiles.pilot", "lead_days: 2.5 is not", "decimal"),
        ({'client_id = "env:PS_ID"': "client_id = 5"}, "sources.district", "client_id: must be text", "quotes"),
        ({'client_secret = "env:PS_SECRET"': ""}, "sources.district", "client_secret: is missing", "credential:"),
        ({'client_secret = "env:PS_SECRET"': 'client_secret = ""'}, "sources.district", "must not be empty", "value"),
        ({'users = "match"': 'users = "creat"'}, "profiles.pilot", "users: 'creat'", '"match_or_create"'),
        ({'users = "match"': ""}, "profiles.pilot", "users: is missing", '"match", "create"'),
        ({'["Maple Street Elementary", 100]': "[]"}, "profiles.pilot", "schools: must name at least", '"all"'),
        ({'["Maple Street Elementary", 100]': '"Maple"'}, "profiles.pilot", "schools: ", '"all"'),
        ({'["Maple Street Elementary", 100]': "[true]"}, "profiles.pilot", "schools: ", '"all"'),
        ({'users = "match"': 'users = "match"\nschool_year = "2026"'}, "profiles.pilot", "school_year: ", "2026"),
        ({'users = "match"': 'users = "match"\npause = "10 weeks"'}, "profiles.pilot", "pause: '10 weeks'", "10m"),
        ({'users = "match"': 'users = "match"\npause = 90000'}, "profiles.pilot", "pause: 90000", "24 hours"),
        ({'users = "match"': 'users = "match"\nlead_days = 121'}, "profiles.pilot", "lead_days: 121", "at most 120"),
        ({'users = "match"': 'users = "match"\nlead_days = -1'}, "profiles.pilot", "lead_days: -1", "at least 0"),
        ({'users = "match"': 'users = "match"\npolicy = "SDS"'}, "profiles.pilot", "policy: 'SDS'", '"add-only"'),
        ({'users = "match"': 'users = "match"\nenabled = "yes"'}, "profiles.pilot", "enabled: must be true", "quotes"),
        ({'suffix = "students.contoso.edu"': 'suffix = "a b"'}, "profiles.pilot.students", "suffix: 'a b'", "domain"),
        ({"[profiles.pilot.students]": "[profiles.pilot]"}, "", "is not TOML", "line"),
    ],
)  # fmt: skip
def test_a_single_fault(write: Write, changes: dict[str, str], table: str, what: str, remedy: str) -> None:
    path = write(changes)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: [{table}] " if table else f"{path}: ")
    assert what in message.partition(" — ")[0]
    assert remedy in message.partition(" — ")[2]


def test_values_of_secrets_are_never_shown(write: Write) -> None:
    path = write({'client_secret = "env:PS_SECRET"': 'client_secret = ["hunter2"]'})
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert "hunter2" not in str(caught.value)
    sound = load(write({"env:PS_SECRET": "hunter2"}), {})
    assert "hunter2" not in repr(sound)
    assert "hunter2" not in str(sound)


def test_a_table_where_a_value_belongs_and_the_reverse(write: Write, faults: Faults) -> None:
    text = 'profiles = 3\n[sources]\ntype = "powerschool"\n[tenants]\n[daemon.log_level]\nx = 1\n'
    found = faults(write(text=text))
    assert any(line.startswith("profiles: must hold tables") for line in found)
    assert any("[sources] type: stands in no named table" in line for line in found)
    assert any("[daemon] log_level" in line for line in found)


@pytest.mark.parametrize("name", ["name", "Name"])
def test_the_name_is_not_a_key(write: Write, faults: Faults, name: str) -> None:
    found = faults(write({"[profiles.pilot]": f'[profiles.pilot]\n{name} = "other"'}))
    assert len(found) == 1
    assert found[0].startswith(f"[profiles.pilot] {name}: is not a key")


@pytest.mark.parametrize("name", ['"two words"', '"../up"', '"-x"', '"' + "a" * 65 + '"'])
def test_unfit_names(write: Write, faults: Faults, name: str) -> None:
    text = f'[profiles.{name}]\nsource = "district"\ntenant = "contoso"\nschools = ["X"]\nusers = "match"\n'
    found = faults(write(more=text))
    assert len(found) == 1
    assert "is not a fit name" in found[0]


def test_names_that_differ_in_case_alone(write: Write, faults: Faults) -> None:
    text = '[profiles.Pilot]\nsource = "district"\ntenant = "contoso"\nschools = ["X"]\nusers = "match"\n'
    assert ["differs from another name in case alone" in line for line in faults(write(more=text))] == [True]


class TestFiles:
    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"no such file.*sds-daemon init"):
            load(tmp_path / "none.toml", {})

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="is a directory"):
            load(tmp_path, {})

    def test_below_a_file(self, write: Write) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(write() / "config.toml", {})

    def test_a_pipe_is_not_taken_for_an_empty_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "config.toml")
        with pytest.raises(ConfigurationError, match="no regular file"):
            load(tmp_path / "config.toml", {})

    def test_syntax_names_the_line(self, write: Write) -> None:
        with pytest.raises(ConfigurationError, match=r"is not TOML.*line 2"):
            load(write(text="[daemon]\nlog_level = INFO\n"), {})

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_bytes(b'[daemon]\nlog_level = "\xff"\n')
        with pytest.raises(ConfigurationError, match="not UTF-8"):
            load(path, {})

    def test_saved_by_an_editor_that_adds_a_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_bytes(b"\xef\xbb\xbf[daemon]\n")
        with pytest.raises(ConfigurationError, match="byte order mark — save it as UTF-8 without BOM"):
            load(path, {})

    @pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
    def test_unreadable(self, write: Write) -> None:
        path = write()
        path.chmod(0)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(path, {})

    def test_empty_is_sound(self, write: Write) -> None:
        assert load(write(text=""), {}).profiles == {}

    def test_order_of_places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        system, local = tmp_path / "system.toml", tmp_path / "local.toml"
        monkeypatch.setattr(loading, "SYSTEM_FILE", system)
        monkeypatch.setattr(loading, "LOCAL_FILE", local)
        with pytest.raises(ConfigurationError, match="--config"):
            find_config(None, {})
        local.touch()
        assert find_config(None, {}) == local
        system.touch()
        assert find_config(None, {}) == system
        assert find_config(None, {"SDS_DAEMON_CONFIG": "/else.toml"}) == Path("/else.toml")
        assert find_config(Path("given.toml"), {"SDS_DAEMON_CONFIG": "/else.toml"}) == Path("given.toml")


class TestPaths:
    def test_relative_ones_are_taken_from_the_file(self, write: Write, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").touch()
        changes = {"env:PS_SECRET": "file:secret", 'url = "': 'ca_file = "ca.pem"\nurl = "'}
        source = load(write(changes), {}).sources["district"]
        assert source.ca_file == tmp_path / "ca.pem"
        (tmp_path / "secret").write_text("s3cret\n")
        assert source.client_secret.reveal() == "s3cret"

    @pytest.mark.parametrize("key", ["ca_file", "certificate"])
    def test_missing_files_are_reported(self, write: Write, faults: Faults, tmp_path: Path, key: str) -> None:
        path = write({'client_secret = "env:ENTRA_SECRET"': f'{key} = "gone.pem"'})
        assert any(f"{key}: there is no file {tmp_path}/gone.pem" in line for line in faults(path))

    def test_certificate_as_credential(self, write: Write) -> None:
        changes = {'client_secret = "env:ENTRA_SECRET"': 'certificate = "credential:entra.pem"'}
        tenant = load(write(changes), {}).tenants["contoso"]
        assert tenant.certificate == Path("/run/credentials/sds-daemon.service/entra.pem")

    def test_state_directory_of_systemd(self, write: Write) -> None:
        path = write({'state_dir = "state"': ""})
        daemon = load(path, {"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}).daemon
        assert daemon.state_dir == Path("/var/lib/one")

    def test_state_of_the_system_wide_file(self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loading, "SYSTEM_FILE", tmp_path / "config.toml")
        assert load(write({'state_dir = "state"': ""}), {}).daemon.state_dir == Path("/var/lib/sds-daemon")


class TestEnvironment:
    def test_overrides_of_every_shape(self, write: Write) -> None:
        settings = load(
            write(),
            {
                "SDS_DAEMON_DAEMON__LOG_LEVEL": "DEBUG",
                "SDS_DAEMON_TENANTS__CONTOSO__WRITE_QUOTA": "6000",
                "SDS_DAEMON_PROFILES__PILOT__ENABLED": "true",
                "SDS_DAEMON_PROFILES__PILOT__SCHOOLS": '["Oak", 7]',
                "SDS_DAEMON_PROFILES__PILOT__PAUSE": "5m",
                "SDS_DAEMON_PROFILES__PILOT__SCHOOL_YEAR": "2026",
                "SDS_DAEMON_PROFILES__PILOT__TEACHERS__SUFFIX": "contoso.edu",
                "SDS_DAEMON_PROFILES__PILOT__LIMITS__MAX_ADDS": "9",
                "SDS_DAEMON_SOURCES__DISTRICT__CLIENT_SECRET": "12345",
                "SDS_DAEMON_SOURCES__DISTRICT__CLIENT_ID": "",
                "SDS_DAEMON_CLOCK": "2026-08-15T06:00:00Z",
                "OTHER__THING": "x",
            },
        )
        profile = settings.profile("pilot")
        assert settings.daemon.log_level == "DEBUG"
        assert settings.tenants["contoso"].write_quota == 6000
        assert (profile.enabled, profile.schools, profile.pause) == (True, ("Oak", "7"), 300)
        assert (profile.school_year, profile.limits.max_adds) == (2026, 9)
        assert profile.teachers.suffix == "contoso.edu"
        assert profile.students.suffix == "students.contoso.edu"
        assert settings.sources["district"].client_secret.reveal() == "12345"
        assert settings.sources["district"].client_id.name == "PS_ID"

    def test_names_are_found_whatever_their_case_and_signs(self, write: Write) -> None:
        path = write({"profiles.pilot": "profiles.North-Pilot"})
        settings = load(path, {"SDS_DAEMON_PROFILES__NORTH_PILOT__LEAD_DAYS": "3"})
        assert settings.profile("North-Pilot").lead_days == 3

    def test_a_table_may_stand_in_the_environment_alone(self, write: Write, sound: str) -> None:
        head, _, rest = sound.partition("[tenants.contoso]")
        path = write(text=head + rest[rest.index("[profiles") :])
        settings = load(
            path,
            {
                "SDS_DAEMON_TENANTS__CONTOSO__TENANT_ID": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1",
                "SDS_DAEMON_TENANTS__CONTOSO__CLIENT_ID": "42",
                "SDS_DAEMON_TENANTS__CONTOSO__CLIENT_SECRET": "env:X",
            },
        )
        assert settings.tenants["contoso"].client_id == "42"

    def test_faults_name_the_variable(self, write: Write) -> None:
        environment = {
            "SDS_DAEMON_TENANTS__CONTOSO__WRITE_QUOTA": "many",
            "SDS_DAEMON_TENANTS__CONTOSO__WRITE_QOTA": "1",
            "SDS_DAEMON_TENANT__CONTOSO__WRITE_QUOTA": "1",
        }
        with pytest.raises(ConfigurationError) as caught:
            load(write(), environment)
        text = str(caught.value)
        assert "$SDS_DAEMON_TENANTS__CONTOSO__WRITE_QUOTA: [tenants.contoso] write_quota: must be a whole" in text
        assert "$SDS_DAEMON_TENANTS__CONTOSO__WRITE_QOTA: [tenants.contoso] write_qota: is not a key" in text
        assert "did you mean write_quota?" in text
        assert "did you mean tenants?" in text


class TestWarnings:
    def test_a_literal_in_a_file_others_can_read(self, write: Write) -> None:
        path = write({"env:PS_SECRET": "s3cret"})
        assert load(path, {}).warnings == ()
        path.chmod(0o640)
        assert load(path, {}).warnings == ()
        path.chmod(0o644)
        (warning,) = load(path, {}).warnings
        assert "[sources.district] client_secret" in warning
        assert "s3cret" not in warning
        assert load(path, {"SDS_DAEMON_SOURCES__DISTRICT__CLIENT_SECRET": "env:X"}).warnings == ()

    def test_references_do_not_warn(self, write: Write) -> None:
        path = write()
        path.chmod(0o644)
        assert load(path, {}).warnings == ()


def test_an_unknown_profile_names_the_near_one(write: Write) -> None:
    settings = load(write(), {})
    with pytest.raises(UsageError, match="did you mean 'pilot'"):
        settings.profile("pilto")
    with pytest.raises(UsageError, match="profiles there are: pilot"):
        settings.profile("zzz")


class TestExample:
    """config.example.toml loads, and shows every key of every table."""

    path = Path(__file__).parents[2] / "config.example.toml"

    def test_loads(self) -> None:
        assert load(self.path, {}).profile("pilot").users == "match_or_create"

    def test_shows_every_key(self) -> None:
        from sds_daemon.config.environment import TABLES
        from sds_daemon.config.findings import fields, subtable

        text = self.path.read_text()
        lines = [line.removeprefix("# ") for line in text.splitlines()]
        for model in [*TABLES.values(), *(subtable(TABLES["profiles"], key) for key in fields(TABLES["profiles"]))]:
            for key in fields(model) if model else ():
                header = bool(model and subtable(model, key)) and f"[profiles.pilot.{key}]" in lines
                assert header or any(line.startswith(f"{key} = ") for line in lines), key

    def test_commented_defaults_are_the_defaults(self) -> None:
        """Uncommenting every line changes nothing but what has no default."""
        text = self.path.read_text()
        bare = [line.removeprefix("# ") if _is_key(line) else line for line in text.splitlines()]
        tables = tomllib.loads("\n".join(bare))
        profile = load(self.path, {}).profile("pilot")
        for key, value in tables["profiles"]["pilot"].items():
            if key in ("class_domain", "students", "teachers", "sections", "school_records", "limits"):
                continue
            shown = tuple(value) if isinstance(value, list) else value
            assert getattr(profile, key) == shown, key
        for key, value in tables["profiles"]["pilot"]["limits"].items():
            assert getattr(profile.limits, key) in (value, None), key
        for table in ("students", "teachers", "sections", "school_records"):
            for key, value in tables["profiles"]["pilot"][table].items():
                if key == "license_group":
                    continue
                shown = tuple(value) if isinstance(value, list) else value
                assert getattr(getattr(profile, table), key) == shown, (table, key)

    def test_the_manual_names_every_key(self) -> None:
        from sds_daemon.config.environment import TABLES
        from sds_daemon.config.findings import fields, subtable

        manual = (self.path.parent / "docs" / "configuration.md").read_text()
        for model in [*TABLES.values(), *(subtable(TABLES["profiles"], key) for key in fields(TABLES["profiles"]))]:
            for key in fields(model) if model else ():
                assert f"`{key}`" in manual or f".{key}]`" in manual, key


def _is_key(line: str) -> bool:
    return line.startswith("# ") and line[2:].partition(" = ")[0].isidentifier() and " = " in line
