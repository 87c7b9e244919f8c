"""Trials of challengers, and what was counted in them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False, comment="the challenger's name"),
        sa.Column("number", sa.Integer(), nullable=False, comment="and its number"),
        sa.Column("champion", sa.String(), nullable=False, comment="the version that it is tried beside"),
        sa.Column("champion_number", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False, comment="shadow or canary"),
        sa.Column("share", sa.Float(), nullable=False, comment="of the rows that a canary answers, 0 to 1"),
        sa.Column("max_errors", sa.Float(), comment="largest share of rows without an answer"),
        sa.Column("max_latency", sa.Float(), comment="largest multiple of the champion's latency"),
        sa.Column("min_rows", sa.Integer(), nullable=False, comment="rows before it is judged"),
        sa.Column("started_at", sa.DateTime(), nullable=False, comment="UTC"),
        sa.Column("ended_at", sa.DateTime(), comment="UTC; empty while it runs"),
        sa.Column("ended_why", sa.String()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("trials_of_model", "trials", ["model"])
    op.create_table(
        "trial_counts",
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False, comment="what is counted: registry/evidence.py"),
        sa.Column("value", sa.Float(), nullable=False, comment="the sum over all workers"),
        sa.ForeignKeyConstraint(["trial"], ["trials.id"]),
        sa.PrimaryKeyConstraint("trial", "name"),
    )


def downgrade() -> None:
    op.drop_table("trial_counts")
    op.drop_table("trials")
