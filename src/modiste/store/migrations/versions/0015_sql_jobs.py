"""Jobs of SQL, which run at their times, and what became of every run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sql_jobs",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("org", sa.String(8), nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("if_query", sa.Text(), nullable=True),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("dialect", sa.String(20), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("every_n", sa.Integer(), nullable=True),
        sa.Column("every_unit", sa.String(40), nullable=True),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last", sa.JSON(), nullable=False),
        sa.Column("actor", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease", sa.String(36), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_sql_jobs"),
        sa.UniqueConstraint("org", "project", "name", name="uq_sql_jobs_name"),
    )
    op.create_index("ix_sql_jobs_next", "sql_jobs", ["next_run_at"])
    op.create_table(
        "sql_job_runs",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("org", sa.String(8), nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("job_seq", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("query", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_sql_job_runs"),
        sa.UniqueConstraint("job_seq", "due_at", name="uq_sql_job_runs_due"),
    )
    op.create_index("ix_sql_job_runs_org", "sql_job_runs", ["org", "seq"])
