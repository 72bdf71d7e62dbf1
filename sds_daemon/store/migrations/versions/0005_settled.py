"""Profiles that are settled, and how often parts of the record were changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("baseline", sa.Column("settled", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "tally",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
