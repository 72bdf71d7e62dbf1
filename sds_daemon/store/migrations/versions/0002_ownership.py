"""Memberships missing by hand, drift, and profiles paused by a person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ABSENT = sa.text("absent_since IS NOT NULL")


def upgrade() -> None:
    """Add what is known of hand edits. Groups are read from the start once, for their members."""
    op.add_column("membership", sa.Column("absent_since", sa.DateTime(), nullable=True))
    op.create_index(
        "ix_membership_absent",
        "membership",
        ["container_id"],
        unique=False,
        sqlite_where=ABSENT,
        postgresql_where=ABSENT,
    )
    op.add_column("profile_state", sa.Column("paused_since", sa.DateTime(), nullable=True))
    op.add_column("profile_state", sa.Column("pause_reason", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "drift",
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("member_kind", sa.String(), nullable=False),
        sa.Column("member_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("written", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(), nullable=False),
        sa.Column("last_seen", sa.DateTime(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("profile", "code", "subject_kind", "subject_id", "member_kind", "member_id", "name"),
    )
    op.execute("UPDATE directory_cursor SET cursor = NULL WHERE name = 'groups'")
