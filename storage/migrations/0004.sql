-- Removing: what each is for stands in storage/tables.py.

CREATE INDEX payloads_skeleton ON payloads (skeleton);

CREATE INDEX payloads_tools ON payloads (tools_node) WHERE tools_node IS NOT NULL;

CREATE INDEX nodes_piece ON nodes (piece);

CREATE TABLE held (
    seq INTEGER NOT NULL,
    PRIMARY KEY (seq)
);

ALTER TABLE epochs ADD COLUMN removed_complete INTEGER DEFAULT '0' NOT NULL;

ALTER TABLE epochs ADD COLUMN removed_incomplete INTEGER DEFAULT '0' NOT NULL;

ALTER TABLE epochs ADD COLUMN last_removed INTEGER DEFAULT '0' NOT NULL;
