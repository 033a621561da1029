-- Reading back: what each is for stands in storage/tables.py.

CREATE TABLE changed (
    seq INTEGER NOT NULL,
    PRIMARY KEY (seq)
);

CREATE TABLE callers (
    fingerprint TEXT NOT NULL,
    project TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    PRIMARY KEY (fingerprint)
)
 WITHOUT ROWID;

INSERT INTO callers
SELECT project, project, min(created_at) FROM exchanges GROUP BY project;
