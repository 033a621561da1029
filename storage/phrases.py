"""The text that bodies are packed against: what most exchanges have in common.

Part of the format on disk: a frame of codec 2 is read with these very bytes, so they
never change. Other phrases would be another codec's.
"""

_EDITS = (
    ("header", "accept-encoding", "identity"),
    ("body", "metadata", '{"env":"prod'),
    ("body", "store", "true"),
)

# What OpenAI's clients and OpenAI, vLLM and usual servers send; the commonest last.
_ASKED = (
    ("traceparent", "00-"), ("openai-organization", "org-"), ("connection", "close"),
    ("idempotency-key", "stainless-node-retry-"), ("accept-language", "*"),
    ("sec-fetch-mode", "cors"), ("user-agent", "OpenAI/JS 6."),
    ("x-stainless-lang", "js"), ("x-stainless-runtime", "node"),
    ("x-stainless-runtime-version", "v22."), ("accept-encoding", "gzip, deflate, br"),
    ("accept", "*/*"), ("connection", "keep-alive"),
    ("accept-encoding", "gzip, deflate"), ("accept", "application/json"),
    ("content-type", "application/json"), ("user-agent", "AsyncOpenAI/Python 2."),
    ("x-stainless-lang", "python"), ("x-stainless-package-version", "2."),
    ("x-stainless-os", "Linux"), ("x-stainless-arch", "x64"),
    ("x-stainless-runtime", "CPython"), ("x-stainless-runtime-version", "3.12."),
    ("x-stainless-async", "async:asyncio"), ("x-stainless-retry-count", "0"),
    ("x-stainless-read-timeout", "600"), ("content-type", "application/json"),
)  # fmt: skip
_ANSWERED = (
    ("Cache-Control", "no-cache"), ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Connection", "keep-alive"), ("Transfer-Encoding", "chunked"),
    ("Content-Encoding", "gzip"), ("retry-after-ms", "1"), ("retry-after", "1"),
    ("alt-svc", 'h3=":443"; ma=86400'), ("Server", "cloudflare"),
    ("CF-RAY", "9"), ("cf-cache-status", "DYNAMIC"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
    ("X-Content-Type-Options", "nosniff"),
    ("access-control-expose-headers", "X-Request-ID"),
    ("openai-organization", "org-"), ("openai-project", "proj_"),
    ("openai-version", "2020-10-01"), ("openai-processing-ms", "4"),
    ("x-envoy-upstream-service-time", "5"), ("x-openai-proxy-wasm", "v0.1"),
    ("x-ratelimit-limit-requests", "10000"), ("x-ratelimit-limit-tokens", "10000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "99999"), ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "0s"), ("x-request-id", "req_"),
    ("date", "Mon, 01 Jun 2026 00:00:00 GMT"), ("server", "uvicorn"),
    ("content-length", "100"), ("content-type", "application/json"),
    ("Server", "nginx/1.2"), ("Date", "Mon, 01 Jun 2026 00:00:00 GMT"),
    ("Content-Type", "application/json"), ("Content-Length", "1000"),
)  # fmt: skip

_BODIES = (
    '{"error":{"message":"","type":"invalid_request_error","param":null,"code":null}}'
    '{"id":"resp_","object":"response","created_at":17,"status":"completed","error":'
    'null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,'
    '"model":"gpt-5","output":[{"id":"rs_","type":"reasoning","summary":[]},{"id":'
    '"msg_","type":"message","status":"completed","content":[{"type":"output_text",'
    '"annotations":[],"logprobs":[],"text":""}],"role":"assistant"}],'
    '"parallel_tool_calls":true,"previous_response_id":null,"tool_choice":"auto",'
    '"tools":[],"top_p":1.0,"truncation":"disabled","usage":{"input_tokens":1,'
    '"input_tokens_details":{"cached_tokens":0},"output_tokens":1,'
    '"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1},"user":null,'
    '"metadata":{}}'
    '{"type":"function","function":{"name":"get","description":"","parameters":{"type":'
    '"object","properties":{"query":{"type":"string","description":"The "},"limit":'
    '{"type":"integer"}},"required":["query"],"additionalProperties":false},"strict":'
    "true}}"
    '{"role":"tool","tool_call_id":"call_","content":"{"role":"user","content":['
    '{"type":"text","text":""},{"type":"image_url","image_url":{"url":'
    '"data:image/png;base64,{"role":"system","content":"You are a helpful assistant. '
    'data: {"id":"chatcmpl-","object":"chat.completion.chunk","created":17,"model":'
    '"gpt-4o-mini","service_tier":"default","system_fingerprint":"fp_","choices":'
    '[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":'
    'null,"finish_reason":null}],"usage":null}\n\ndata: {"delta":{},"finish_reason":'
    '"stop"}]}\n\ndata: [DONE]\n\n'
    '{"id":"chatcmpl-","object":"chat.completion","created":17,"model":"gpt-4o-mini",'
    '"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":'
    '[{"id":"call_","type":"function","function":{"name":"get","arguments":"{\\"'
    '"}}],"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"tool_calls"'
    '}],{"role":"assistant","content":"","refusal":null,"annotations":[]},"logprobs":'
    'null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,'
    '"total_tokens":1,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":'
    '"default","system_fingerprint":"fp_"}'
)


def _edit(where: str, member: str, value: str) -> bytes:
    return b"\x83\xa5where%b\xa6member%b\xa5value%b" % (
        *(b"%c%b" % (0xA0 + len(one), one.encode()) for one in (where, member, value)),
    )


def _header(name: str, value: str) -> bytes:
    """Return a header as msgpack has it in `storage.rows.Extras`."""
    pair = (len(name), name.encode(), len(value), value.encode())
    return b"\x92\xc4%c%b\xc4%c%b" % pair


PHRASES = b"".join(
    (
        _BODIES.encode(),
        *(_header(*pair) for pair in _ANSWERED),
        b"\x95\x93",
        *(_edit(*edit) for edit in _EDITS),
        b"\x90\x90\x97",
        *(_header(*pair) for pair in _ASKED),
    )
)
