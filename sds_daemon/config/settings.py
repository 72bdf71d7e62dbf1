"""The configuration as values. Names are those of config.toml; docs/configuration.md says what each means.

The models check shape and range alone; what several keys must agree upon is checked by config/rules.py, and
config/load.py reads files and environment.
"""

from __future__ import annotations

import difflib
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sds_daemon.config.secrets import Secret
from sds_daemon.errors import UsageError
from sds_daemon.plan.attributes import SCHOOL_DEFAULTS, SECTION_DEFAULTS, STUDENT_DEFAULTS, TEACHER_DEFAULTS

SHORT_PAUSE = 60
LONG_PAUSE = 600
FEW_CALLS = 200
"""A reading by PowerQueries makes some thirty calls; one by /ws/v1 makes two for every section."""

_DURATION = re.compile(r"(\d+)\s*(s|m|h)")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def _path(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) and value else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _schools(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return tuple(str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value)


def _seconds(value: Any) -> Any:
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else value


def _no_at(value: Any) -> Any:
    return value.removeprefix("@") if isinstance(value, str) else value


ObjectId = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", to_lower=True)
]
FilePath = Annotated[Path, BeforeValidator(_path)]
Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_tuple)]
Schools = Annotated[
    Literal["all"] | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)],
    BeforeValidator(_schools),
]
Seconds = Annotated[int, BeforeValidator(_seconds), Field(ge=0, le=86_400)]
Pause = Annotated[Literal["auto"] | Annotated[int, Field(ge=0, le=86_400)], BeforeValidator(_seconds)]
Percent = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]
Domain = Annotated[
    str,
    BeforeValidator(_no_at),
    Field(pattern=r"^(?i:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.(?i:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?))+$"),
]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DaemonSettings(_Table):
    """`[daemon]`: where state is kept, what is logged, whom to tell.

    `state_dir` defaults to systemd's `$STATE_DIRECTORY`, else `./state`; load() makes it absolute. `notify_command` is
    an argument list run with one JSON object on its standard input.
    """

    state_dir: FilePath = Field(
        default_factory=lambda: Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0] or "state")
    )
    database: FilePath | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    notify_command: Texts = ()

    @property
    def database_path(self) -> Path:
        """`database`, or `state.db` in the state directory."""
        return self.database or self.state_dir / "state.db"


class SourceSettings(_Table):
    """`[sources.NAME]`: one PowerSchool server. `url` is its root; `ca_file` a PEM of its own authority.

    `reader`: "auto" takes the PowerQueries where the plugin's grants allow them, else /ws/v1.
    """

    name: str
    type: Literal["powerschool"]
    url: Annotated[str, Field(min_length=1)]
    client_id: Secret
    client_secret: Secret
    ca_file: FilePath | None = None
    max_calls: Annotated[int, Field(ge=1, le=4)] = 4
    reader: Literal["auto", "powerquery", "v1"] = "auto"


class TenantSettings(_Table):
    """`[tenants.NAME]`: one Entra tenant.

    `write_quota` is in writes per `write_period` seconds (Graph docs: throttling limits, directory objects: 3,000 in
    150 s); `lag_horizon` the seconds a new object may stay invisible to reads. `authority` and `graph_url` are set for
    the cloud "custom" alone. `client_secret_expires` is noted by hand, for `check` and `status` to warn in time.
    """

    name: str
    tenant_id: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Secret | None = None
    client_secret_expires: date | None = None
    certificate: FilePath | None = None
    cloud: Literal["global", "gcc-high", "dod", "china", "custom"] = "global"
    authority: Annotated[str, Field(min_length=1)] | None = None
    graph_url: Annotated[str, Field(min_length=1)] | None = None
    ca_file: FilePath | None = None
    write_quota: Annotated[int, Field(ge=1, le=1_000_000)] = 3000
    write_period: Annotated[float, Field(ge=0.1, le=3600)] = 150.0
    lag_horizon: Annotated[float, Field(ge=0, le=86_400)] = 900.0


class PersonRules(_Table):
    """`[profiles.NAME.students]` and `.teachers`: how a record finds its account, and how an account is made.

    The compared text is the source property, plus "@" and `suffix` where one is set. `domain`, `licenses` (SKU part
    numbers or ids), `license_group` (object id of a group that gives licences to its members, instead of `licenses`)
    and `usage_location` (ISO 3166-1 alpha-2) serve creation alone.
    """

    source_property: Literal["username", "number", "secondary_email"] = "username"
    suffix: Domain | None = None
    target_property: Literal["userPrincipalName", "mail", "mailNickname"] = "userPrincipalName"
    domain: Domain | None = None
    licenses: Texts = ()
    license_group: ObjectId | None = None
    usage_location: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    attributes: Texts = ()

    @property
    def gives_licenses(self) -> bool:
        """Whether accounts that are made get licences, one way or the other."""
        return bool(self.licenses or self.license_group)


class AttributeChoice(_Table):
    """Optional attributes to write, by their neutral names (plan/attributes.py)."""

    attributes: Texts = ()


def _choosing(*names: str) -> BeforeValidator:
    """Fill in `attributes` where the table is there and says nothing of them."""
    return BeforeValidator(lambda table: {"attributes": names, **table} if isinstance(table, dict) else table)


class LimitSettings(_Table):
    """`[profiles.NAME.limits]`: when a change of unusual size stops or waits. None: no limit.

    A percent limit holds only above its floor (a count of changes), so that small sets are not held by one change.
    """

    shrink_percent: Percent = 20
    shrink_rows: Count = 50
    removal_percent: Percent = 10
    removal_floor: Count = 25
    section_removal_percent: Percent = 50
    section_removal_floor: Count = 8
    update_percent: Percent = 20
    update_floor: Count = 50
    section_max_adds: Count | None = None
    max_adds: Count | None = None
    max_creates: Count | None = None
    max_issues: Count = 15_000


class Profile(_Table):
    """`[profiles.NAME]`: a source, a tenant, a scope, identity rules and options. `pause` is in seconds.

    `co_teachers`: what teachers of a section besides the lead become in its class.
    """

    name: str
    enabled: bool = False
    source: Annotated[str, Field(min_length=1)]
    tenant: Annotated[str, Field(min_length=1)]
    schools: Schools
    school_year: Literal["current"] | Annotated[int, Field(ge=1990, le=2200)] = "current"
    users: Literal["match", "create", "match_or_create"]
    policy: Literal["sds", "add-only", "mirror"] = "sds"
    class_api: Literal["auto", "education", "groups"] = "auto"
    class_domain: Domain | None = None
    class_name: Annotated[str, Field(min_length=1)] = "{course_name} {section_number}"
    class_alias: Annotated[str, Field(min_length=1)] = "Section_{sis_id}"
    class_name_updates: bool = False
    adopt_existing: bool = False
    teacherless: Literal["hold", "create"] = "hold"
    lead_days: Annotated[int, Field(ge=0, le=120)] = 14
    pause: Pause = "auto"
    include_preregistered: bool = False
    replace_invalid_characters: bool = False
    keep_passwords: bool = True
    hand_removals: Literal["respect", "restore"] = "respect"
    co_teachers: Literal["owner", "member", "ignore"] = "owner"
    recreate_deleted_groups: bool = False
    students: Annotated[PersonRules, _choosing(*STUDENT_DEFAULTS)] = PersonRules(attributes=STUDENT_DEFAULTS)
    teachers: Annotated[PersonRules, _choosing(*TEACHER_DEFAULTS)] = PersonRules(attributes=TEACHER_DEFAULTS)
    sections: Annotated[AttributeChoice, _choosing(*SECTION_DEFAULTS)] = AttributeChoice(attributes=SECTION_DEFAULTS)
    school_records: Annotated[AttributeChoice, _choosing(*SCHOOL_DEFAULTS)] = AttributeChoice(
        attributes=SCHOOL_DEFAULTS
    )
    limits: LimitSettings = LimitSettings()

    def rest_after(self, calls: int) -> int:
        """Seconds between a cycle that made so many calls to the source and the next: `pause`, else by what it cost."""
        if self.pause != "auto":
            return self.pause
        return SHORT_PAUSE if calls <= FEW_CALLS else LONG_PAUSE

    @property
    def creates(self) -> bool:
        """Whether accounts may be made."""
        return self.users != "match"


class Settings(BaseSettings):
    """The whole configuration. Building it reads neither files nor environment: load() does.

    `warnings` are sentences for the operator; `path` is the file it was read from.
    """

    model_config = SettingsConfigDict(strict=True, extra="forbid", frozen=True)

    daemon: DaemonSettings = Field(default_factory=DaemonSettings)
    sources: dict[str, SourceSettings] = {}
    tenants: dict[str, TenantSettings] = {}
    profiles: dict[str, Profile] = {}
    warnings: tuple[str, ...] = ()
    path: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in."""
        return (init_settings,)

    def profile(self, name: str) -> Profile:
        """The profile of that name. Raises UsageError naming the ones there are."""
        if name in self.profiles:
            return self.profiles[name]
        close = difflib.get_close_matches(name, self.profiles, n=1)
        known = ", ".join(sorted(self.profiles)) or "none"
        raise UsageError(
            f"there is no profile {name!r} in {self.path or 'the configuration'}",
            remedy=f"did you mean {close[0]!r}?" if close else f"profiles there are: {known}",
        )
