-- The first tables. What each is for stands in storage/tables.py.

CREATE TABLE exchanges (
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    project TEXT NOT NULL,
    upstream TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    target TEXT NOT NULL,
    streamed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    status INTEGER NOT NULL,
    first_token_at INTEGER,
    ended_at INTEGER,
    own_us INTEGER NOT NULL,
    completion_id TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    model_served TEXT NOT NULL,
    finish_reason TEXT,
    prompt_tokens INTEGER,
    cached_tokens INTEGER,
    completion_tokens INTEGER,
    reasoning_tokens INTEGER,
    error BLOB,
    tags TEXT NOT NULL,
    schema TEXT,
    verdict TEXT,
    error_path TEXT,
    prompt_preview TEXT NOT NULL,
    answer_preview TEXT NOT NULL,
    request_size INTEGER NOT NULL,
    answer_size INTEGER NOT NULL,
    content_kept INTEGER NOT NULL,
    previous_response_id TEXT NOT NULL,
    retry_count INTEGER NOT NULL,
    messages_node INTEGER,
    answer_keys BLOB,
    parent INTEGER,
    thread INTEGER NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX exchanges_completion ON exchanges (completion_id) WHERE completion_id <> '';

CREATE UNIQUE INDEX exchanges_id ON exchanges (id);

CREATE INDEX exchanges_messages ON exchanges (messages_node) WHERE messages_node IS NOT NULL;

CREATE INDEX exchanges_open ON exchanges (epoch) WHERE state = 'open';

CREATE TABLE payloads (
    seq INTEGER NOT NULL,
    skeleton INTEGER NOT NULL,
    layout BLOB,
    tools_node INTEGER,
    request_sha256 BLOB NOT NULL,
    sent_sha256 BLOB NOT NULL,
    answer_sha256 BLOB NOT NULL,
    kept_size INTEGER NOT NULL,
    extras BLOB NOT NULL,
    answer BLOB NOT NULL,
    chunks BLOB NOT NULL,
    PRIMARY KEY (seq)
);

CREATE TABLE parts (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at_byte INTEGER NOT NULL,
    data BLOB NOT NULL,
    chunks BLOB NOT NULL,
    PRIMARY KEY (seq, number)
)
 WITHOUT ROWID;

CREATE TABLE pieces (
    id INTEGER NOT NULL,
    hash BLOB NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX pieces_hash ON pieces (hash);

CREATE TABLE nodes (
    id INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX nodes_chain ON nodes (parent, piece);

CREATE TABLE tags (
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY ("key", value, seq)
)
 WITHOUT ROWID;

CREATE TABLE epochs (
    id INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    clean INTEGER NOT NULL,
    batches INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    incomplete INTEGER NOT NULL,
    unrecorded INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    PRIMARY KEY (id)
);
