"""Calls of Instructor, in its own venv: prints as JSON what their callers got.

Standard input has a JSON list of [mode, how, model]: `how` is `whole`, `partial` or
`items`, and the upstream answers as the model's name says; `short` is for a real one,
whose answers may be wrong to the end.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any, Literal

import instructor
from instructor.core.exceptions import InstructorError
from openai import OpenAI
from pydantic import BaseModel


class User(BaseModel):
    """A person."""

    name: str
    age: int


class Weather(BaseModel):
    """What it is like outside."""

    city: str
    unit: Literal["C", "F"]


class Kind(BaseModel):
    """What a model of half a megabyte can say: no free text."""

    kind: Literal["a", "b"]
    old: bool


MESSAGES = [{"role": "user", "content": "Ada is 36 years old."}]
UNREGISTERED = {"JSON", "MD_JSON"}  # the schema is in words only: the proxy is told


def joined(mode: str) -> Any:
    """Return the client that makes calls in this mode."""
    asked = instructor.Mode[mode]
    if mode == "OPENROUTER_STRUCTURED_OUTPUTS":
        return instructor.from_openrouter(OpenAI(), mode=asked)
    return instructor.from_openai(OpenAI(), mode=asked)


def call(mode: str, how: str, model: str) -> Any:
    """Return what one call gives."""
    completions = joined(mode).chat.completions
    asked: dict[str, Any] = {"model": model, "messages": MESSAGES, "max_retries": 2}
    if mode in UNREGISTERED:
        schema = {"items": "users", "short": "kind"}.get(how, "user")
        asked["extra_headers"] = {"x-spiritsafe-schema": schema}
    if mode == "PARALLEL_TOOLS":
        made = completions.create(response_model=Iterable[User | Weather], **asked)
        return [one.model_dump() for one in made]
    if how == "partial":
        parts = list(completions.create_partial(response_model=User, **asked))
        return parts[-1].model_dump()
    if how == "items":
        users = completions.create_iterable(response_model=User, **asked)
        return [user.model_dump() for user in users]
    if how == "short":
        return short(completions, asked)
    return completions.create(response_model=User, **asked).model_dump()


def short(completions: Any, asked: dict[str, Any]) -> Any:
    """Return what Instructor takes of a few tokens, None where it gives up."""
    try:
        made = completions.create(response_model=Kind, max_tokens=60, **asked)
    except InstructorError:
        return None
    return made.model_dump()


def main() -> None:
    """Make the calls, one after the other."""
    asked = json.load(sys.stdin)
    told = {model: call(mode, how, model) for mode, how, model in asked}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
