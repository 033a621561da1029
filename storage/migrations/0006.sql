-- Schemas, their bindings and judgements: what each is for stands in storage/tables.py.

CREATE TABLE schemas (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    document BLOB NOT NULL,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX schemas_name ON schemas (name, version);

CREATE TABLE bindings (
    id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    schema TEXT NOT NULL,
    rule TEXT NOT NULL,
    policy TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE judgements (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    slot TEXT NOT NULL,
    schema TEXT NOT NULL,
    digest BLOB NOT NULL,
    why TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    faults BLOB NOT NULL,
    judged_at INTEGER NOT NULL,
    PRIMARY KEY (seq, number)
) WITHOUT ROWID;

CREATE TABLE reasks (
    seq INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    root INTEGER NOT NULL,
    "by" TEXT NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX reasks_root ON reasks (root);
