"""What bases can do is read anew: it tells now whether they have a chat format."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE models SET abilities = NULL")
