"""The wire vectors: whole event streams as bytes, framing included.

`VECTORS` is for whoever needs upstream answers: the scripted upstream serves them, the
parsers meet every split of them. Names say what is odd about a stream.
"""

from storage.records import Endpoint


def framed(*payloads: bytes) -> bytes:
    """Return an event stream with one `data:` line for each payload."""
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


DONE = b"[DONE]"

TEXT = (
    rb'{"id":"chatcmpl-T1","object":"chat.completion.chunk","created":1760000000,"model":"m-1","service_tier":"default","system_fingerprint":"fp_a","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x1"}',
    rb'{"id":"chatcmpl-T1","object":"chat.completion.chunk","created":1760000000,"model":"m-1","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x2"}',
    rb'{"id":"chatcmpl-T1","object":"chat.completion.chunk","created":1760000000,"model":"m-1","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null,"obfuscation":"x3"}',
    rb'{"id":"chatcmpl-T1","object":"chat.completion.chunk","created":1760000000,"model":"m-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10},"obfuscation":"x4"}',
    DONE,
)

TOOLS = (
    rb'{"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":""}}],"refusal":null},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"q\":\"\\u00"}}]},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"e9\"}"}}]},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}',
    DONE,
)

TWO_CHOICES = (
    rb'{"id":"chatcmpl-T3","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":1,"delta":{"role":"assistant","content":"B"},"logprobs":{"content":[{"token":"B","logprob":-0.2,"bytes":[66],"top_logprobs":[]}],"refusal":null},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-T3","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"A"},"logprobs":{"content":[{"token":"A","logprob":-0.1,"bytes":[65],"top_logprobs":[]}],"refusal":null},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-T3","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b","logprob":-0.3,"bytes":[98],"top_logprobs":[]}],"refusal":null},"finish_reason":"stop"}]}',
    rb'{"id":"chatcmpl-T3","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}',
    DONE,
)

AZURE = (
    rb'{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}',
    rb'{"choices":[{"index":0,"delta":{"role":"assistant","content":"ok"},"finish_reason":null}],"created":7,"id":"chatcmpl-AZ","model":"m-az","object":"chat.completion.chunk"}',
    rb'{"choices":[{"index":0,"finish_reason":null,"content_filter_results":{},"content_filter_offsets":{"check_offset":0,"start_offset":0,"end_offset":2}}],"created":0,"id":"","model":"","object":""}',
    rb'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"created":7,"id":"chatcmpl-AZ","model":"m-az","object":"chat.completion.chunk"}',
    DONE,
)

ERROR = (
    rb'{"id":"chatcmpl-E","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"par"},"finish_reason":null}]}',
    rb'{"error":{"message":"backend failed","type":"server_error","param":null,"code":null}}',
)

SAME_INDEX = (
    rb'{"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":null}]}',
    rb'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c2","type":"function","function":{"name":"f","arguments":"{\"a\":2}"}}]},"finish_reason":"stop"}]}',
    DONE,
)

AUDIO = (
    rb'{"id":"chatcmpl-AU","object":"chat.completion.chunk","created":1,"model":"m-a","choices":[{"index":0,"delta":{"role":"assistant","audio":{"id":"audio_1","transcript":"hey"}},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-AU","object":"chat.completion.chunk","created":1,"model":"m-a","choices":[{"index":0,"delta":{"audio":{"data":"AAAA"}},"finish_reason":null}]}',
    rb'{"id":"chatcmpl-AU","object":"chat.completion.chunk","created":1,"model":"m-a","choices":[{"index":0,"delta":{"audio":{"expires_at":1760003600}},"finish_reason":null}]}',
    DONE,
)

RESPONSE = (
    (
        b"response.created",
        rb'{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}}',
    ),
    (
        b"response.output_text.delta",
        rb'{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hi","logprobs":[],"obfuscation":"zz"}',
    ),
    (
        b"response.completed",
        rb'{"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","object":"response","status":"completed","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}],"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}}',
    ),
)
LEGACY = (
    rb'{"id":"cmpl-1","object":"text_completion","created":5,"model":"m-l","choices":[{"index":0,"text":"On","logprobs":{"tokens":["On"],"token_logprobs":[-0.1],"top_logprobs":[{"On":-0.1}],"text_offset":[0]},"finish_reason":null}]}',
    rb'{"id":"cmpl-1","object":"text_completion","created":5,"model":"m-l","choices":[{"index":0,"text":"ce","logprobs":{"tokens":["ce"],"token_logprobs":[-0.2],"top_logprobs":[{"ce":-0.2}],"text_offset":[2]},"finish_reason":null}]}',
    rb'{"id":"cmpl-1","object":"text_completion","created":5,"model":"m-l","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}}',
    DONE,
)

VLLM_ERROR = rb'{"error":{"object":"error","message":"backend failed","type":"server_error","param":null,"code":500}}'
FLAT_ERROR = rb'{"message":"backend failed","type":"server_error"}'
FAILED = rb'{"type":"response.failed","sequence_number":2,"response":{"id":"resp_2","object":"response","status":"failed","error":{"code":"server_error","message":"backend failed"},"output":[]}}'
INCOMPLETE = rb'{"type":"response.incomplete","sequence_number":2,"response":{"id":"resp_3","object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}'
RESPONSE_ERROR = rb'{"type":"error","code":"server_error","message":"backend failed","param":null,"sequence_number":1}'
ITEM_DONE = rb'{"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}}'


def said(content: str, finish_reason: str = "null") -> bytes:
    """Return a chat chunk; `content` is the inside of a JSON string."""
    head = (
        '{"id":"chatcmpl-S","object":"chat.completion.chunk","created":1,"model":"m-1"'
    )
    delta = f'{{"role":"assistant","content":"{content}"}}'
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{finish_reason}}}'
    return f'{head},"choices":[{choice}]}}'.encode()


def named(*events: tuple[bytes, bytes]) -> bytes:
    """Return an event stream with an `event:` and a `data:` line for each pair."""
    return b"".join(
        b"event: " + name + b"\ndata: " + data + b"\n\n" for name, data in events
    )


def argued(*texts: bytes) -> bytes:
    """Return one tool call whose arguments come in these fragments."""
    return framed(
        rb'{"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}}]}',
        *(
            rb'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"'
            + text
            + rb'"}}]}}]}'
            for text in texts
        ),
        rb'{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}',
        DONE,
    )


def changed(payloads: tuple[bytes, ...], old: bytes, new: bytes) -> bytes:
    """Return the stream with `old` replaced in each payload."""
    return framed(*(payload.replace(old, new) for payload in payloads))


OK = said("ok", '"stop"')

CHAT: dict[str, bytes] = {
    "a1_text": framed(*TEXT),
    "a2_tools": framed(*TOOLS),
    "a3_two_choices": framed(*TWO_CHOICES),
    "a4_azure": framed(*AZURE),
    "a5_error": framed(*ERROR),
    "a5_error_then_done": framed(ERROR[0], VLLM_ERROR, DONE),
    "a5_error_first": framed(VLLM_ERROR, DONE),
    "a6_same_index": framed(*SAME_INDEX),
    "a6_no_index": changed(SAME_INDEX, b'{"index":0,"id"', b'{"id"'),
    "a6_from_one": changed(TOOLS, b'"index":1,"id"', b'"index":2,"id"').replace(
        b'"tool_calls":[{"index":0', b'"tool_calls":[{"index":1'
    ),
    "a6_object_arguments": changed(SAME_INDEX, rb'"{\"a\":1}"', b'{"a":1}'),
    "a6_same_id": changed(
        TOOLS, b'{"index":0,"function"', b'{"index":0,"id":"call_a","function"'
    ),
    "a6_empty_id": changed(
        TOOLS, b'{"index":0,"function"', b'{"index":0,"id":"","function"'
    ),
    "a6_run_on": argued(rb"{\"a\":1}", rb"{\"a\":2}"),
    "a7_audio": framed(*AUDIO),
    "a8_1_crlf": framed(*TEXT).replace(b"\n", b"\r\n"),
    "a8_1_cr": framed(*TEXT).replace(b"\n", b"\r"),
    "a8_2_no_space": framed(*TEXT).replace(b"data: ", b"data:"),
    "a8_2_two_spaces": framed(*TEXT).replace(b"data: ", b"data:  "),
    "a8_3_comments": b": OPENROUTER PROCESSING\n\n:\n\n"
    + framed(*TEXT).replace(b"\n\n", b"\n\n:\n: more\n\n")
    + b": bye\n\n",
    "a8_4_two_data_lines": framed(OK).replace(b',"choices"', b',\ndata: "choices"')
    + framed(DONE),
    "a8_5_line_separators": framed(
        said("a\u2028b\u2029c\u0085d\u000be"), said("f", '"stop"'), DONE
    ),
    "a8_6_characters": framed(said("€ 🥃 é"), said("🥃", '"stop"'), DONE),
    "a8_6_surrogate_pair": argued(rb"{\"q\":\"\\ud83e", rb"\\udd43\"}"),
    "a8_7_lone_surrogate": framed(said(r"a\ud83d"), said("b", '"stop"'), DONE),
    "a8_8_bom": b"\xef\xbb\xbf" + framed(OK, DONE),
    "a8_9_no_blank_line": framed(said("a"), OK).removesuffix(b"\n\n"),
    "a8_9_no_done": framed(said("a"), OK),
    "a8_9_done_unended": framed(OK) + b"data: [DONE]",
    "a8_9_done_spaces": framed(OK, b"[DONE]  "),
    "a8_9_after_done": framed(OK, DONE, said("more")),
    "a8_10_error_event": framed(said("par")) + named((b"error", FLAT_ERROR)),
    "a8_11_no_objects": framed(b": keepalive", b"null", b"[]", b'"x"')
    + b"data:\n\ndata\n\n"
    + framed(OK, DONE),
}

RESPONSES: dict[str, bytes] = {
    "a9_completed": named(*RESPONSE),
    "a9_failed": named(RESPONSE[0], (b"response.failed", FAILED)),
    "a9_incomplete": named(RESPONSE[0], (b"response.incomplete", INCOMPLETE)),
    "a9_error": named(RESPONSE[0], (b"error", RESPONSE_ERROR)),
    "a9_no_names": framed(*(data for _, data in RESPONSE)),
    "a9_spaced": framed(
        *(data.replace(b'{"type":', b'{ "type" : ') for _, data in RESPONSE)
    ),
    "a9_items_only": named(*RESPONSE[:2], (b"response.output_item.done", ITEM_DONE)),
}

COMPLETIONS: dict[str, bytes] = {"legacy_text": framed(*LEGACY)}

VECTORS: dict[str, bytes] = CHAT | RESPONSES | COMPLETIONS

# What ends the stream on the wire; a stream without has no terminal event.
UNENDED = frozenset(
    {
        "a5_error",
        "a8_9_no_blank_line",
        "a8_9_no_done",
        "a8_10_error_event",
        "a9_items_only",
    }
)


def endpoint_of(name: str) -> Endpoint:
    """Return the endpoint that a vector answers."""
    if name in RESPONSES:
        return "responses"
    return "completions" if name in COMPLETIONS else "chat"


def slices(data: bytes, size: int) -> list[bytes]:
    """Return the data cut into slices of this size."""
    return [data[at : at + size] for at in range(0, len(data), size)]
