"""The tables of the state database.

These classes describe the schema (Alembic compares them with the migrations in a test); rows are read and written in
bulk through SQLAlchemy Core, never as objects. Instants are stored as UTC. Lists and dictionaries are JSON text.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Boolean, Column, Dialect, ForeignKey, Index, SmallInteger, Table, Text, false, text
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

OPEN_CREATES = text("state = 'intended' AND kind IN ('user.create', 'class.create', 'school.create')")
"""Creates whose outcome is unknown. The same words in the index and in the query, or the index would not be used."""

PERSON_LINKS = text("kind IN ('student', 'teacher')")
ABSENT = text("absent_since IS NOT NULL")


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime in Python, a naive UTC one in the database."""

    impl = SqlDateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


def _instant(*, nullable: bool = False) -> Column[datetime]:
    return Column(Instant(), nullable=nullable)


def _json() -> Column[str]:
    return Column(Text, nullable=False)


def _parent(target: str) -> Column[int]:
    return Column(ForeignKey(target, ondelete="CASCADE"), primary_key=True, autoincrement=False)


class LeaseRow(SQLModel, table=True):
    """Who works on a profile. `boot` and `started` tell a process from a later one with the same number."""

    __tablename__ = "lease"

    profile: str = Field(primary_key=True)
    token: str
    host: str
    boot: str
    pid: int
    started: str
    since: datetime = Field(sa_column=_instant())
    expires: datetime = Field(sa_column=_instant())


class RunRow(SQLModel, table=True):
    """One cycle or preview."""

    __tablename__ = "run"
    __table_args__ = (Index("ix_run_profile", "profile", "id"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True)
    profile: str
    kind: str
    source_uuid: str | None
    tenant_id: str | None
    started: datetime = Field(sa_column=_instant())
    finished: datetime | None = Field(sa_column=_instant(nullable=True))
    status: str
    summary: str = Field(sa_column=_json())
    error: str


class RunChangeRow(SQLModel, table=True):
    """One change of a run: planned, sent, settled. An absent member is the empty text, so that the key is a key."""

    __tablename__ = "run_change"
    __table_args__ = (
        Index("ix_run_change_open", "run_id", sqlite_where=OPEN_CREATES, postgresql_where=OPEN_CREATES),
        {"sqlite_with_rowid": False},
    )

    run_id: int = Field(sa_column=_parent("run.id"))
    kind: str = Field(primary_key=True)
    subject_kind: str = Field(primary_key=True)
    subject_id: str = Field(primary_key=True)
    member_kind: str = Field(primary_key=True)
    member_id: str = Field(primary_key=True)
    state: str
    reason: str
    new_values: str = Field(sa_column=_json())
    old_values: str = Field(sa_column=_json())
    adopts: str | None
    withheld: str
    detail: str
    code: str
    status: int
    object_id: str | None
    intended_at: datetime | None = Field(sa_column=_instant(nullable=True))
    settled_at: datetime | None = Field(sa_column=_instant(nullable=True))


class HeldSetRow(SQLModel, table=True):
    """Changes that wait for approval, whole."""

    __tablename__ = "held_set"
    __table_args__ = (Index("ix_held_set_profile", "profile", "number"), {"sqlite_autoincrement": True})

    number: int | None = Field(default=None, primary_key=True)
    profile: str
    checksum: str
    state: str
    created: datetime = Field(sa_column=_instant())
    decided: datetime | None = Field(sa_column=_instant(nullable=True))
    changes: str = Field(sa_column=_json())


class HeldRunRow(SQLModel, table=True):
    """Which runs computed which held set. A set outlives the runs that are cleaned up."""

    __tablename__ = "held_run"

    run_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(ForeignKey("held_set.number", ondelete="CASCADE"), index=True, nullable=False))


class LinkRow(SQLModel, table=True):
    """A SIS record is a directory object. One account belongs to one person record of a source and tenant."""

    __tablename__ = "link"
    __table_args__ = (
        Index("ux_link_record", "source_uuid", "tenant_id", "kind", "sis_id", unique=True),
        Index(
            "ux_link_person",
            "source_uuid",
            "tenant_id",
            "object_id",
            unique=True,
            sqlite_where=PERSON_LINKS,
            postgresql_where=PERSON_LINKS,
        ),
        Index("ix_link_object", "tenant_id", "object_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_uuid: str
    tenant_id: str
    kind: str
    sis_id: str
    object_id: str
    profile: str
    created: bool
    rule: str
    licenses_due: bool
    deleted: bool
    unread: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    written: str = Field(sa_column=_json())
    linked_at: datetime = Field(sa_column=_instant())


class MembershipRow(SQLModel, table=True):
    """A managed membership. Container and member are links; `role` is a number for size.

    `absent_since`: when the directory was seen without it, though nothing of ours removed it; NULL: believed present.
    """

    __tablename__ = "membership"
    __table_args__ = (
        Index("ix_membership_member", "member_id"),
        Index("ix_membership_absent", "container_id", sqlite_where=ABSENT, postgresql_where=ABSENT),
        {"sqlite_with_rowid": False},
    )

    container_id: int = Field(sa_column=_parent("link.id"))
    member_id: int = Field(sa_column=_parent("link.id"))
    role: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    run_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    absent_since: datetime | None = Field(sa_column=_instant(nullable=True))


class DirectoryRow(SQLModel, table=True):
    """A tenant whose directory is cached; its number keeps the cache's keys short."""

    __tablename__ = "directory"

    id: int | None = Field(default=None, primary_key=True)
    tenant_id: str = Field(unique=True)


class DirectoryCursorRow(SQLModel, table=True):
    """The delta link of a collection. `scan` numbers full reads; `scanning` marks one that has not ended."""

    __tablename__ = "directory_cursor"

    directory: int = Field(sa_column=_parent("directory.id"))
    name: str = Field(primary_key=True)
    cursor: str | None
    scan: int
    scanning: bool


class DirectoryUserRow(SQLModel, table=True):
    """A cached user. `state`: 0 only its education part is known, 1 present, 2 deleted, 3 purged."""

    __tablename__ = "directory_user"
    __table_args__ = (
        Index("ix_directory_user_upn", "directory", "upn_key"),
        Index("ix_directory_user_mail", "directory", "mail_key"),
        Index("ix_directory_user_nickname", "directory", "nickname_key"),
        Index("ix_directory_user_anchor", "directory", "anchor_source"),
        {"sqlite_with_rowid": False},
    )

    directory: int = Field(sa_column=_parent("directory.id"))
    id: str = Field(primary_key=True)
    state: int = Field(sa_column=Column(SmallInteger, nullable=False))
    upn: str
    upn_key: str
    mail: str
    mail_key: str | None
    mail_nickname: str
    nickname_key: str | None
    display_name: str
    enabled: bool
    on_premises: bool
    created: str
    anchor_source: str | None
    anchor_kind: str | None
    anchor_id: str | None
    education: str = Field(sa_column=_json())
    scan: int
    education_scan: int
    remembered: datetime | None = Field(sa_column=_instant(nullable=True))


class DirectoryGroupRow(SQLModel, table=True):
    """A cached Microsoft 365 group. `state` as for users."""

    __tablename__ = "directory_group"
    __table_args__ = (
        Index("ix_directory_group_nickname", "directory", "nickname_key"),
        Index("ix_directory_group_anchor", "directory", "anchor_source"),
        {"sqlite_with_rowid": False},
    )

    directory: int = Field(sa_column=_parent("directory.id"))
    id: str = Field(primary_key=True)
    state: int = Field(sa_column=Column(SmallInteger, nullable=False))
    display_name: str
    mail_nickname: str
    nickname_key: str
    mail: str
    created: str
    anchor_source: str | None
    anchor_kind: str | None
    anchor_id: str | None
    scan: int
    remembered: datetime | None = Field(sa_column=_instant(nullable=True))


class DirectorySchoolRow(SQLModel, table=True):
    """A cached school (administrative unit). `state` as for users."""

    __tablename__ = "directory_school"
    __table_args__ = (
        Index("ix_directory_school_name", "directory", "name_key"),
        Index("ix_directory_school_anchor", "directory", "anchor_source"),
        {"sqlite_with_rowid": False},
    )

    directory: int = Field(sa_column=_parent("directory.id"))
    id: str = Field(primary_key=True)
    state: int = Field(sa_column=Column(SmallInteger, nullable=False))
    display_name: str
    name_key: str
    anchor_source: str | None
    anchor_kind: str | None
    anchor_id: str | None
    scan: int
    remembered: datetime | None = Field(sa_column=_instant(nullable=True))


class IssueRow(SQLModel, table=True):
    """A record that could not be synced, from the run that first met it to the one that no longer did."""

    __tablename__ = "issue"

    profile: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    sis_id: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    detail: str
    joining_value: str
    severity: str
    count: int
    run_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    first_seen: datetime = Field(sa_column=_instant())
    last_seen: datetime = Field(sa_column=_instant())
    resolved_at: datetime | None = Field(sa_column=_instant(nullable=True))


class DriftRow(SQLModel, table=True):
    """A difference between what was written and what the directory holds. An absent member is the empty text."""

    __tablename__ = "drift"

    profile: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    subject_kind: str = Field(primary_key=True)
    subject_id: str = Field(primary_key=True)
    member_kind: str = Field(primary_key=True)
    member_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    written: str = Field(sa_column=_json())
    found: str = Field(sa_column=_json())
    first_seen: datetime = Field(sa_column=_instant())
    last_seen: datetime = Field(sa_column=_instant())
    resolved_at: datetime | None = Field(sa_column=_instant(nullable=True))


class SightingRow(SQLModel, table=True):
    """What a run saw of a record that had changes or issues then."""

    __tablename__ = "sighting"
    __table_args__ = ({"sqlite_with_rowid": False},)

    profile: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    sis_id: str = Field(primary_key=True)
    run_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    present: bool
    facts: str = Field(sa_column=_json())


class ProfileStateRow(SQLModel, table=True):
    """How a profile fares."""

    __tablename__ = "profile_state"

    profile: str = Field(primary_key=True)
    state: str
    failures: int
    reason: str
    since: datetime | None = Field(sa_column=_instant(nullable=True))
    next_attempt: datetime | None = Field(sa_column=_instant(nullable=True))
    paused_since: datetime | None = Field(sa_column=_instant(nullable=True))
    pause_reason: str


class RelaxationRow(SQLModel, table=True):
    """Limits a person has widened for a time. `limits`: the widened ones by name."""

    __tablename__ = "limit_relaxation"

    profile: str = Field(primary_key=True)
    since: datetime = Field(sa_column=_instant())
    until: datetime = Field(sa_column=_instant())
    limits: str = Field(sa_column=_json())


class SourceStopRow(SQLModel, table=True):
    """A run the source limit stopped, with what it read, so that exactly this can be accepted."""

    __tablename__ = "source_stop"

    run_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    profile: str = Field(index=True)
    state: str
    created: datetime = Field(sa_column=_instant())
    decided: datetime | None = Field(sa_column=_instant(nullable=True))
    counts: str = Field(sa_column=_json())
    schools: str = Field(sa_column=_json())


class AnnouncementRow(SQLModel, table=True):
    """What was last said of a profile's standing."""

    __tablename__ = "announcement"

    profile: str = Field(primary_key=True)
    status: str
    held: int | None
    since: datetime = Field(sa_column=_instant())


class BaselineRow(SQLModel, table=True):
    """The snapshot last accepted for a profile; the source limit compares with it.

    `settled`: what the run that accepted it rested on, if it left everything as it found it; else the empty text.
    `named`: the SIS ID of the school that each entry of the profile's `schools` meant.
    """

    __tablename__ = "baseline"

    profile: str = Field(primary_key=True)
    school_year: int
    source_uuid: str
    accepted: datetime = Field(sa_column=_instant())
    rows: str = Field(sa_column=_json())
    settled: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    named: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


class TallyRow(SQLModel, table=True):
    """How many transactions have changed a part of the record: the links of a source and tenant, or a directory."""

    __tablename__ = "tally"
    __table_args__ = ({"sqlite_with_rowid": False},)

    name: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, nullable=False))


def table(model: type[SQLModel]) -> Table:
    """The Core table behind a class of this module."""
    found = SQLModel.metadata.tables[str(model.__tablename__)]
    assert isinstance(found, Table)
    return found
