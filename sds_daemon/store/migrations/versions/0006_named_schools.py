"""Which school each entry of a profile's `schools` meant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("baseline", sa.Column("named", sa.Text(), nullable=False, server_default=""))
