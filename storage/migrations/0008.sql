-- Whose conversation is gone on with: what this is for stands in storage/tables.py.

CREATE INDEX exchanges_before ON exchanges (previous_response_id) WHERE previous_response_id <> '';
