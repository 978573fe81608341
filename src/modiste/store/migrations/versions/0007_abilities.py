"""What the prompt format of a model's base can do; NULL until a start reads the base's folder."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("abilities", sa.JSON(), nullable=True))
