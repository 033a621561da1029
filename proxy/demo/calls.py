"""The demo's calls: what an application would send, through the official client."""

from collections.abc import Callable
from typing import Final

from openai import APIStatusError, OpenAI
from openai.types.chat import ChatCompletionToolParam
from pydantic import BaseModel

MODEL: Final = "scripted"

WEATHER: Final[ChatCompletionToolParam] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Ticket(BaseModel):
    """What a support message is about."""

    label: str
    urgent: bool


def plain(client: OpenAI) -> str:
    """Ask one question, with tags of its own."""
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "My parcel is late. Who can help?"}],
        extra_headers={"x-spiritsafe-tags": "task=support"},
    )
    return answer.choices[0].message.content or ""


def streamed(client: OpenAI) -> str:
    """Read an answer as it is written, usage included."""
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": "What is a spirit safe?"},
        ],
        stream=True,
        stream_options={"include_usage": True},
    )
    words = (c.delta.content or "" for chunk in chunks for c in chunk.choices)
    return "".join(words)


def tool(client: OpenAI) -> str:
    """Offer a tool and get a call of it."""
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[WEATHER],
    )
    calls = answer.choices[0].message.tool_calls or []
    return "".join(
        f"{call.function.name}({call.function.arguments})"
        for call in calls
        if call.type == "function"
    )


def schema(client: OpenAI) -> str:
    """Ask for an object that keeps a JSON Schema."""
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Classify: my parcel is late!"}],
        response_format=Ticket,
    )
    return str(answer.choices[0].message.parsed)


def two_choices(client: OpenAI) -> str:
    """Ask for two answers at once."""
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Suggest a name for a distillery."}],
        n=2,
    )
    return f"{len(answer.choices)} choices"


def response(client: OpenAI) -> str:
    """Read an answer of the Responses API as it is written."""
    with client.responses.stream(model=MODEL, input="Say hello.") as stream:
        return stream.get_final_response().output_text


def error(client: OpenAI) -> str:
    """Run into a rate limit."""
    try:
        client.chat.completions.create(
            model="error-429", messages=[{"role": "user", "content": "Once more!"}]
        )
    except APIStatusError as answer:
        return f"{answer.status_code} {answer.code}"
    return "no error"


CALLS: Final[tuple[Callable[[OpenAI], str], ...]] = (
    plain,
    streamed,
    tool,
    schema,
    two_choices,
    response,
    error,
)


def send(base_url: str) -> list[tuple[str, str]]:
    """Send every call once; return what each does and what the client saw."""
    with OpenAI(base_url=base_url, api_key="demo-key", max_retries=0) as client:
        return [(str(call.__doc__).rstrip("."), call(client)) for call in CALLS]
