"""What runs saw of records, for `explain`; links whose object is to be read anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table and the mark."""
    op.create_table(
        "sighting",
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sis_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("profile", "kind", "sis_id"),
        sqlite_with_rowid=False,
    )
    op.add_column("link", sa.Column("unread", sa.Boolean(), nullable=False, server_default=sa.false()))
