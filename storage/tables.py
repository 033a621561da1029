"""The tables, declared once: engines, queries and the recorder read them from here."""

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()

# The narrow row of a list: never a body, so that a million of them stay cheap.
exchanges = Table(
    "exchanges",
    metadata,
    # Given by the single writer without a gap: a hole is a row removed, which `epochs`
    # counts, or a visible loss.
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("project", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("streamed", Integer, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("status", Integer, nullable=False),
    Column("first_token_at", Integer),
    Column("ended_at", Integer),
    Column("own_us", Integer, nullable=False),
    Column("completion_id", Text, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("model_served", Text, nullable=False),
    Column("finish_reason", Text),
    Column("prompt_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("error", LargeBinary),
    Column("tags", Text, nullable=False),
    Column("schema", Text),
    Column("verdict", Text),
    Column("error_path", Text),
    Column("prompt_preview", Text, nullable=False),
    Column("answer_preview", Text, nullable=False),
    Column("request_size", Integer, nullable=False),
    Column("answer_size", Integer, nullable=False),
    Column("content_kept", Integer, nullable=False),
    # What a Responses request goes on from: a response, or CONVERSATION and an id.
    Column("previous_response_id", Text, nullable=False),
    Column("retry_count", Integer, nullable=False),
    # The end of the chain of the request's messages; see `nodes`.
    Column("messages_node", Integer),
    # 16 bytes for each choice: how a later request that repeats it is recognised.
    Column("answer_keys", LargeBinary),
    Column("parent", Integer),  # seq of the exchange that this one goes on from
    Column("thread", Integer, nullable=False),  # seq of the first of them all
)
Index("exchanges_id", exchanges.c.id, unique=True)
Index(
    "exchanges_completion",
    exchanges.c.completion_id,
    sqlite_where=text("completion_id <> ''"),
)
Index(
    "exchanges_messages",
    exchanges.c.messages_node,
    sqlite_where=text("messages_node IS NOT NULL"),
)
Index(
    "exchanges_before",
    exchanges.c.previous_response_id,
    sqlite_where=text("previous_response_id <> ''"),
)
Index("exchanges_open", exchanges.c.epoch, sqlite_where=text("state = 'open'"))

payloads = Table(
    "payloads",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("skeleton", Integer, nullable=False),  # a piece: the body, or what is left
    Column("layout", LargeBinary),  # where the arrays go back; NULL for a whole body
    Column("tools_node", Integer),
    Column("request_sha256", LargeBinary, nullable=False),
    Column("sent_sha256", LargeBinary, nullable=False),
    Column("answer_sha256", LargeBinary, nullable=False),
    # Of the answer; less than the row's `answer_size` where only a prefix is kept.
    Column("kept_size", Integer, nullable=False),
    Column("extras", LargeBinary, nullable=False),  # edits, flags, headers, packed
    Column("answer", LargeBinary, nullable=False),
    Column("chunks", LargeBinary, nullable=False),
)
# These and `nodes_piece` tell whether what one exchange no longer needs, another does.
Index("payloads_skeleton", payloads.c.skeleton)
Index(
    "payloads_tools",
    payloads.c.tools_node,
    sqlite_where=text("tools_node IS NOT NULL"),
)

# Answer bytes of exchanges still open; they go when the final row is written.
parts = Table(
    "parts",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    # Where in the answer it begins: a note that never got here leaves a gap.
    Column("at_byte", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("chunks", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Content by its SHA-256, once.
pieces = Table(
    "pieces",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
Index("pieces_hash", pieces.c.hash, unique=True)

# Arrays of pieces as chains: a conversation of n turns costs n nodes, not n². A node is
# its parent and a piece, so equal prefixes are one node; as both are numbers that grow,
# new nodes lie side by side in the index, where hashes would dirty a page each.
nodes = Table(
    "nodes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("parent", Integer, nullable=False),  # 0: the first element of an array
    Column("piece", Integer, nullable=False),
    Column("depth", Integer, nullable=False),
)
Index("nodes_chain", nodes.c.parent, nodes.c.piece, unique=True)
Index("nodes_piece", nodes.c.piece)

# Rows changed or removed since they were written: the index beside the file has to look
# at them again, and until then queries do not believe it.
changed = Table("changed", metadata, Column("seq", Integer, primary_key=True))

# Rows that a release is made of: never removed, nor their content.
held = Table("held", metadata, Column("seq", Integer, primary_key=True))

# Fingerprints of callers' keys, and the project each belongs to: its own at first.
# Rows of `exchanges` keep the fingerprint, so that joining two keys rewrites none.
callers = Table(
    "callers",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("first_seen_at", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# One row for each run of a writer, brought up to date in each of its commits.
epochs = Table(
    "epochs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started_at", Integer, nullable=False),
    Column("ended_at", Integer),
    Column("clean", Integer, nullable=False),
    # Commits so far: tells whether a commit whose outcome is unknown took place.
    Column("batches", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("complete", Integer, nullable=False),
    Column("incomplete", Integer, nullable=False),
    Column("unrecorded", Integer, nullable=False),
    # Of `unrecorded`: accepted before a crash, and no row tells of them.
    Column("lost", Integer, nullable=False),
    # Of those counted above, the rows that were removed later.
    Column("removed_complete", Integer, nullable=False, server_default="0"),
    Column("removed_incomplete", Integer, nullable=False, server_default="0"),
    # The greatest seq among them: it is not given again.
    Column("last_removed", Integer, nullable=False, server_default="0"),
    # How often content of its rows went: the file is to be cleaned after each.
    Column("dropped", Integer, nullable=False, server_default="0"),
)

# Registered schemas: a version never changes, so a judgement stays true.
schemas = Table(
    "schemas",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the document
    Column("document", LargeBinary, nullable=False),  # as it was given
    Column("source", Text, nullable=False),  # file, directory, api, pydantic, inferred
    Column("created_at", Integer, nullable=False),
)
Index("schemas_name", schemas.c.name, schemas.c.version, unique=True)

# Which schema applies to which traffic, and what follows: the first that fits.
bindings = Table(
    "bindings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("schema", Text, nullable=False),  # `name`, its newest version, or `name@2`
    Column("rule", Text, nullable=False),  # JSON: `storage.schemas.Rule`
    Column("policy", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Integer, nullable=False),
)

# One row for each part of an answer that was judged, and each time it was.
judgements = Table(
    "judgements",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("slot", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("faults", LargeBinary, nullable=False),  # packed; content, and goes with it
    Column("judged_at", Integer, nullable=False),
    Column("followed", Text, nullable=False, server_default=text("''")),
    sqlite_with_rowid=False,
)

# Exchanges that ask again for what another answered wrongly: the pairs to learn from.
reasks = Table(
    "reasks",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("rejected", Integer, nullable=False),  # seq of the attempt before
    Column("root", Integer, nullable=False),  # seq of the first attempt
    Column("by", Text, nullable=False),  # `client`, or `proxy` under policy `repair`
)
Index("reasks_root", reasks.c.root)
