"""Policies in versions, and what they are attached to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("org", sa.String(8), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_policies"),
        sa.UniqueConstraint("org", "name", "version", name="uq_policies_version"),
    )
    op.create_table(
        "policy_attachments",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("org", sa.String(8), nullable=False),
        sa.Column("guarded", sa.String(40), nullable=False),
        sa.Column("target", sa.String(400), nullable=False),
        sa.Column("policy", sa.String(100), nullable=False),
        sa.Column("attached", sa.Boolean(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_policy_attachments"),
    )
    op.create_index(
        "ix_policy_attachments_org",
        "policy_attachments",
        ["org", "guarded", "target"],
        unique=False,
    )
