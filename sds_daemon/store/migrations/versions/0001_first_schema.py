"""First schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

PERSON_LINKS = sa.text("kind IN ('student', 'teacher')")
OPEN_CREATES = sa.text("state = 'intended' AND kind IN ('user.create', 'class.create', 'school.create')")


def upgrade() -> None:
    """Make every table."""
    _leases_and_profiles()
    _runs()
    _held_sets()
    _links()
    _directory()
    _groups_and_schools()


def _leases_and_profiles() -> None:
    op.create_table(
        "lease",
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("profile"),
    )
    op.create_table(
        "profile_state",
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=True),
        sa.Column("next_attempt", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("profile"),
    )
    op.create_table(
        "baseline",
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("school_year", sa.Integer(), nullable=False),
        sa.Column("source_uuid", sa.String(), nullable=False),
        sa.Column("accepted", sa.DateTime(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("profile"),
    )
    op.create_table(
        "issue",
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sis_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("joining_value", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.DateTime(), nullable=False),
        sa.Column("last_seen", sa.DateTime(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("profile", "kind", "sis_id", "code"),
    )


def _runs() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source_uuid", sa.String(), nullable=True),
        sa.Column("tenant_id", sa.String(), nullable=True),
        sa.Column("started", sa.DateTime(), nullable=False),
        sa.Column("finished", sa.DateTime(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_profile", "run", ["profile", "id"], unique=False)
    op.create_table(
        "run_change",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("member_kind", sa.String(), nullable=False),
        sa.Column("member_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("new_values", sa.Text(), nullable=False),
        sa.Column("old_values", sa.Text(), nullable=False),
        sa.Column("adopts", sa.String(), nullable=True),
        sa.Column("withheld", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=True),
        sa.Column("intended_at", sa.DateTime(), nullable=True),
        sa.Column("settled_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "kind", "subject_kind", "subject_id", "member_kind", "member_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_run_change_open",
        "run_change",
        ["run_id"],
        unique=False,
        sqlite_where=OPEN_CREATES,
        postgresql_where=OPEN_CREATES,
    )


def _held_sets() -> None:
    op.create_table(
        "held_set",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("checksum", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("decided", sa.DateTime(), nullable=True),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_held_set_profile", "held_set", ["profile", "number"], unique=False)
    op.create_table(
        "held_run",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["held_set.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_held_run_number", "held_run", ["number"], unique=False)


def _links() -> None:
    op.create_table(
        "link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_uuid", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sis_id", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("created", sa.Boolean(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("licenses_due", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("written", sa.Text(), nullable=False),
        sa.Column("linked_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_link_object", "link", ["tenant_id", "object_id"], unique=False)
    op.create_index(
        "ux_link_person",
        "link",
        ["source_uuid", "tenant_id", "object_id"],
        unique=True,
        sqlite_where=PERSON_LINKS,
        postgresql_where=PERSON_LINKS,
    )
    op.create_index("ux_link_record", "link", ["source_uuid", "tenant_id", "kind", "sis_id"], unique=True)
    op.create_table(
        "membership",
        sa.Column("container_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["container_id"], ["link.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["member_id"], ["link.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("container_id", "member_id", "role"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_membership_member", "membership", ["member_id"], unique=False)


def _directory() -> None:
    op.create_table(
        "directory",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id"),
    )
    op.create_table(
        "directory_cursor",
        sa.Column("directory", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("scan", sa.Integer(), nullable=False),
        sa.Column("scanning", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["directory"], ["directory.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("directory", "name"),
    )
    op.create_table(
        "directory_user",
        sa.Column("directory", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("upn", sa.String(), nullable=False),
        sa.Column("upn_key", sa.String(), nullable=False),
        sa.Column("mail", sa.String(), nullable=False),
        sa.Column("mail_key", sa.String(), nullable=True),
        sa.Column("mail_nickname", sa.String(), nullable=False),
        sa.Column("nickname_key", sa.String(), nullable=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("on_premises", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.Column("anchor_source", sa.String(), nullable=True),
        sa.Column("anchor_kind", sa.String(), nullable=True),
        sa.Column("anchor_id", sa.String(), nullable=True),
        sa.Column("education", sa.Text(), nullable=False),
        sa.Column("scan", sa.Integer(), nullable=False),
        sa.Column("education_scan", sa.Integer(), nullable=False),
        sa.Column("remembered", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["directory"], ["directory.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("directory", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_directory_user_anchor", "directory_user", ["directory", "anchor_source"], unique=False)
    op.create_index("ix_directory_user_mail", "directory_user", ["directory", "mail_key"], unique=False)
    op.create_index("ix_directory_user_nickname", "directory_user", ["directory", "nickname_key"], unique=False)
    op.create_index("ix_directory_user_upn", "directory_user", ["directory", "upn_key"], unique=False)


def _groups_and_schools() -> None:
    op.create_table(
        "directory_group",
        sa.Column("directory", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("mail_nickname", sa.String(), nullable=False),
        sa.Column("nickname_key", sa.String(), nullable=False),
        sa.Column("mail", sa.String(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.Column("anchor_source", sa.String(), nullable=True),
        sa.Column("anchor_kind", sa.String(), nullable=True),
        sa.Column("anchor_id", sa.String(), nullable=True),
        sa.Column("scan", sa.Integer(), nullable=False),
        sa.Column("remembered", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["directory"], ["directory.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("directory", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_directory_group_anchor", "directory_group", ["directory", "anchor_source"], unique=False)
    op.create_index("ix_directory_group_nickname", "directory_group", ["directory", "nickname_key"], unique=False)
    op.create_table(
        "directory_school",
        sa.Column("directory", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("name_key", sa.String(), nullable=False),
        sa.Column("anchor_source", sa.String(), nullable=True),
        sa.Column("anchor_kind", sa.String(), nullable=True),
        sa.Column("anchor_id", sa.String(), nullable=True),
        sa.Column("scan", sa.Integer(), nullable=False),
        sa.Column("remembered", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["directory"], ["directory.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("directory", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_directory_school_anchor", "directory_school", ["directory", "anchor_source"], unique=False)
    op.create_index("ix_directory_school_name", "directory_school", ["directory", "name_key"], unique=False)
