"""Jobs have a type, and classifiers have targets: those asked for, trained, and served."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("job_type", sa.String(40), nullable=False, server_default="completion")
    )
    op.add_column("jobs", sa.Column("classifier_targets", sa.JSON(), nullable=True))
    op.add_column("models", sa.Column("classifier_targets", sa.JSON(), nullable=True))
