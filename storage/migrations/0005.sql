-- Cleaning up: what this is for stands in storage/tables.py.

ALTER TABLE epochs ADD COLUMN dropped INTEGER DEFAULT '0' NOT NULL;

UPDATE epochs SET dropped = removed_complete + removed_incomplete;
