-- What followed from a verdict for the client: that stands in storage/tables.py.

ALTER TABLE judgements ADD COLUMN followed TEXT DEFAULT '' NOT NULL;
