"""The tables of the registry, made to be read with plain `sqlite3` too."""

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

models = Table(
    "models",
    metadata,
    Column("name", String, primary_key=True),
    Column("last_number", Integer, nullable=False, comment="the number of its newest version"),
)

versions = Table(
    "versions",
    metadata,
    Column("model", ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False, comment="algorithm and number, such as log_reg_1"),
    Column("algorithm", String, nullable=False),
    Column("created_at", DateTime, nullable=False, comment="UTC"),
    Column("contract_signature", String, nullable=False),
    Column("artefact_sha256", String, nullable=False),
    Column("libraries", JSON, nullable=False),
    Column("details", JSON, nullable=False),
    Column("data_source", String, nullable=False),
    Column("data_fingerprint", String, nullable=False),
    Column("train_rows", Integer, nullable=False),
    Column("test_rows", Integer, nullable=False),
    Column(
        "state",
        String,
        nullable=False,
        server_default="unjudged",
        comment="passed, undecided, rejected or unjudged",
    ),
    Column("reasons", JSON, nullable=False, server_default="[]", comment="of its gate, unless it passed"),
    UniqueConstraint("model", "name"),
)

metrics = Table(
    "metrics",
    metadata,
    Column("model", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("split", String, primary_key=True, comment="train or test"),
    Column("name", String, primary_key=True),
    Column("value", Float, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", String, primary_key=True),
    Column("alias", String, primary_key=True, comment="champion, challenger"),
    Column("number", Integer, nullable=False),
    ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime, nullable=False, comment="UTC"),
    Column("actor", String, nullable=False, comment="the user who ran the command"),
    Column("action", String, nullable=False),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("alias", String),
    Column("previous_version", String),
    Column("why", String, nullable=False),
    Column("version_sha256", String, comment="SHA-256 of the version's record"),
    Column("previous_hash", String, nullable=False, server_default="", comment="of the row before"),
    Column("hash", String, nullable=False, server_default="", comment="SHA-256 of all the rest of the row"),
    Index("audit_chain", "previous_hash", unique=True),
)

trials = Table(
    "trials",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False, comment="the challenger's name"),
    Column("number", Integer, nullable=False, comment="and its number"),
    Column("champion", String, nullable=False, comment="the version that it is tried beside"),
    Column("champion_number", Integer, nullable=False),
    Column("mode", String, nullable=False, comment="shadow or canary"),
    Column("share", Float, nullable=False, comment="of the rows that a canary answers, 0 to 1"),
    Column("max_errors", Float, comment="largest share of rows without an answer"),
    Column("max_latency", Float, comment="largest multiple of the champion's latency"),
    Column("min_rows", Integer, nullable=False, comment="rows before it is judged"),
    Column("started_at", DateTime, nullable=False, comment="UTC"),
    Column("ended_at", DateTime, comment="UTC; empty while it runs"),
    Column("ended_why", String),
    Index("trials_of_model", "model"),
)

trial_counts = Table(
    "trial_counts",
    metadata,
    Column("trial", ForeignKey("trials.id"), primary_key=True),
    Column("name", String, primary_key=True, comment="what is counted: registry/evidence.py"),
    Column("value", Float, nullable=False, comment="the sum over all workers"),
)
