"""What an objective measures beside its loss, per step and per evaluation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_metrics", sa.Column("measures", sa.JSON(), nullable=True))
    op.add_column("job_metrics", sa.Column("valid_measures", sa.JSON(), nullable=True))
