"""What a version's gate found; and an audit trail that is chained by hashes and can't be changed."""

import sqlalchemy as sa
from alembic import op

from sepal.registry.audit import chain

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "versions",
        sa.Column(
            "state",
            sa.String(),
            nullable=False,
            server_default="unjudged",
            comment="passed, undecided, rejected or unjudged",
        ),
    )
    op.add_column(
        "versions",
        sa.Column(
            "reasons",
            sa.JSON(),
            nullable=False,
            server_default="[]",
            comment="of its gate, unless it passed",
        ),
    )
    op.add_column(
        "audit", sa.Column("version_sha256", sa.String(), comment="SHA-256 of the version's record")
    )
    for name, comment in (
        ("previous_hash", "of the row before"),
        ("hash", "SHA-256 of all the rest of the row"),
    ):
        op.add_column(
            "audit", sa.Column(name, sa.String(), nullable=False, server_default="", comment=comment)
        )
    chain(op.get_bind())
    op.create_index("audit_chain", "audit", ["previous_hash"], unique=True)
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{what.lower()} BEFORE {what} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
            )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_update")
        op.execute("DROP TRIGGER audit_no_delete")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_append_only ON audit")
        op.execute("DROP FUNCTION audit_append_only")
    op.drop_index("audit_chain", "audit")
    for name in ("hash", "previous_hash", "version_sha256"):
        op.drop_column("audit", name)
    for name in ("reasons", "state"):
        op.drop_column("versions", name)
