"""Chat completions as Messages requests, field by field."""

from typing import Any

import pytest

from slipway_router.providers.anthropic_request import to_messages

USER = {"role": "user", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "f"}}


def said(**fields: Any) -> dict[str, Any]:
    body, faults = to_messages({"messages": [USER], **fields}, "claude", 4096)
    assert faults == []
    return body


def faults(**fields: Any) -> list[str]:
    return [path for path, _ in to_messages({"messages": [USER], **fields}, "claude", 4096)[1]]


def test_the_least() -> None:
    turn = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
    assert said() == {"model": "claude", "max_tokens": 4096, "messages": [turn]}


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"temperature": 0.3, "top_p": 0.9, "top_k": 4}, {"temperature": 0.3, "top_p": 0.9, "top_k": 4}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 1.7, "top_p": 1}, {}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        ({"stream": True}, {"stream": True}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ({"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}),
        ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "strict": True, "schema": {"type": "object"}},
                }
            },
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        ({"seed": 1, "presence_penalty": 0.5, "n": 1, "logprobs": False, "store": True}, {}),
    ],
)
def test_a_field(given: dict[str, Any], becomes: dict[str, Any]) -> None:
    assert said(**given) == {**said(), **becomes}


@pytest.mark.parametrize(
    ("choice", "parallel", "becomes"),
    [
        (None, None, None),
        ("auto", True, None),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        (
            {"type": "function", "function": {"name": "f"}},
            False,
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        ),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_the_choice_of_a_tool(choice: Any, parallel: bool | None, becomes: Any) -> None:
    assert said(tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel).get("tool_choice") == becomes


def test_tools() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    full = {"type": "function", "function": {"name": "g", "description": "d", "parameters": schema, "strict": True}}
    assert said(tools=[TOOL, full])["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        {"name": "g", "input_schema": schema, "description": "d", "strict": True},
    ]
    assert "tool_choice" not in said(tool_choice="required")


def test_system_prompts_are_taken_out_and_turns_of_one_role_joined() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}
    body = said(
        messages=[
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]},
            USER,
            {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "2"}]},
            {"role": "tool", "tool_call_id": "1", "content": "one"},
            {"role": "tool", "tool_call_id": "2", "content": ""},
            {"role": "user", "content": "go on"},
            {"role": "assistant", "content": "Well, \n"},
        ]
    )
    assert body["system"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
    ]
    assert [(t["role"], [b["type"] for b in t["content"]]) for t in body["messages"]] == [
        ("user", ["text"]),
        ("assistant", ["tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result", "text"]),
        ("assistant", ["text"]),
    ]
    assert body["messages"][2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "1",
        "content": [{"type": "text", "text": "one"}],
    }
    assert body["messages"][3]["content"][0]["text"] == "Well,"


def test_a_prefill_of_white_space_is_none() -> None:
    assert said(messages=[USER, {"role": "assistant", "content": " \n"}]) == said()


def test_images_and_documents() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;charset=x;base64,AAAA"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
    ]
    assert said(messages=[{"role": "user", "content": parts}])["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"},
    ]


def test_every_fault_is_told_at_once() -> None:
    assert faults(n=2, logprobs=True, response_format={"type": "json_object"}, tools=[{"type": "custom"}]) == [
        "n",
        "logprobs",
        "tools[0].type",
        "response_format.type",
    ]
    wrong = [
        {"role": "user", "content": [{"type": "input_audio"}, {"type": "image_url", "image_url": "ftp://a"}]},
        {"role": "narrator", "content": "x"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1"}}]},
    ]
    assert faults(messages=wrong, tool_choice="f", tools=[TOOL]) == [
        "messages[0].content[0].type",
        "messages[0].content[1].image_url.url",
        "messages[1].role",
        "messages[2].tool_calls[0].function.arguments",
        "tool_choice",
    ]


def test_an_empty_conversation_is_refused() -> None:
    assert faults(messages=[{"role": "user", "content": ""}]) == ["messages"]


@pytest.mark.parametrize("odd", [None, 3, "x", [], {}, [1], [{}], {"type": []}, {"function": 4}])
def test_nothing_that_json_can_hold_breaks_it(odd: Any) -> None:
    for name in ("tools", "tool_choice", "response_format", "stop", "functions", "logit_bias", "user", "thinking"):
        to_messages({"messages": [USER], "tools": [TOOL], name: odd}, "claude", 4096)
    for message in (
        {"role": "user", "content": odd},
        {"role": "user", "content": [odd]},
        {"role": "assistant", "tool_calls": odd},
    ):
        to_messages({"messages": [message]}, "claude", 4096)
    for part in ({"type": "text", "text": odd}, {"type": "image_url", "image_url": odd}, {"type": "file", "file": odd}):
        to_messages({"messages": [{"role": "user", "content": [part]}]}, "claude", 4096)
