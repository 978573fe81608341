"""Models behind other servers, what they took, and names that are switched from model to model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("upstream", sa.JSON(), nullable=True))
    op.drop_column("models", "aliases")  # Nothing ever wrote a name into it.
    op.create_table(
        "aliases",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("org", sa.String(8), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("model", sa.String(400), nullable=True),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_aliases"),
    )
    op.create_index("ix_aliases_org_name", "aliases", ["org", "name"])
    op.create_table(
        "upstream_spending",
        sa.Column("model", sa.String(400), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("n_requests", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=False),
        sa.Column("n_estimated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "day", name="pk_upstream_spending"),
    )
