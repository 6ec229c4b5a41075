"""Rows of every format, typed from its own documentation, which is named beside them."""

import json
from typing import Any, NamedTuple

from alignment.seam.records import Message, prompt_key


class Typed(NamedTuple):
    """Rows as a document shows them: which one, and what they hold."""

    document: str
    rows: list[Any]


def said(role, content):
    return {"role": role, "content": content}


def spoken(role, content):
    return {"from": role, "value": content}


ASKED = "How do magnets work?"
PHYSICS, POLES = "Physics.", "They have two poles."
TURN = said("user", ASKED)
MARKS = {"helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 2, "verbosity": 1}
FIELD = {
    "name": "field_of",
    "description": "How strong a magnet is.",
    "parameters": {"type": "object", "properties": {"magnet": {"type": "string"}}},
}
TOOLS = [{"type": "function", "function": FIELD}]
CALL = {"name": "field_of", "arguments": {"magnet": "bar"}}
CALLED = {  # as OpenAI writes it
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "field_of", "arguments": '{"magnet": "bar"}'},
        }
    ],
}
TOLD = {"role": "tool", "tool_call_id": "call_1", "content": '{"tesla": 0.1}'}
CALLED_BY_TRL = {"role": "assistant", "tool_calls": [{"type": "function", "function": CALL}]}
TOLD_BY_TRL = {"role": "tool", "name": "field_of", "content": '{"tesla": 0.1}'}
CHAT = {
    "q": {"id": "q", "parentId": None, "childrenIds": ["x", "y"], "role": "user", "content": ASKED},
    "x": {"id": "x", "parentId": "q", "childrenIds": [], "role": "assistant", "content": PHYSICS}
    | {"model": "llama3:8b"},
    "y": {"id": "y", "parentId": "q", "childrenIds": [], "role": "assistant", "content": POLES}
    | {"model": "qwen3:4b"},
}
FEEDBACK = {
    "id": "9f6c",
    "user_id": "u-17",
    "version": 0,
    "type": "rating",
    "data": {"rating": 1, "model_id": "llama3:8b", "reason": "accurate_information"}
    | {"comment": "Short and right.", "tags": ["physics"], "details": {"rating": 9}},
    "meta": {"arena": False, "chat_id": "c1", "message_id": "x", "message_index": 2},
    "snapshot": {"chat": {"id": "c1", "chat": {"title": "Magnets", "history": {"messages": CHAT}}}},
    "created_at": 1732000000,
    "updated_at": 1732000009,
}
MESSAGES = [
    {"message_id": "m1", "parent_id": None, "message_tree_id": "m1", "role": "prompter"}
    | {
        "text": ASKED,
        "lang": "en",
        "rank": None,
        "deleted": False,
        "tree_state": "ready_for_export",
    },
    {"message_id": "m2", "parent_id": "m1", "message_tree_id": "m1", "role": "assistant"}
    | {"text": PHYSICS, "lang": "en", "rank": 0, "deleted": False, "user_id": "u1"},
    {"message_id": "m3", "parent_id": "m1", "message_tree_id": "m1", "role": "assistant"}
    | {"text": POLES, "lang": "en", "rank": 1, "deleted": False, "user_id": "u2"},
    {"message_id": "m4", "parent_id": "m2", "message_tree_id": "m1", "role": "prompter"}
    | {"text": "Why?", "lang": "en", "rank": None, "deleted": False, "user_id": "u3"},
]
TREE = {
    "message_tree_id": "t1",
    "tree_state": "ready_for_export",
    "prompt": {
        "message_id": "t1",
        "text": ASKED,
        "role": "prompter",
        "lang": "en",
        "replies": [
            {"message_id": "r1", "text": PHYSICS, "role": "assistant", "rank": 0, "replies": []},
            {"message_id": "r2", "text": POLES, "role": "assistant", "rank": 1, "replies": []},
        ],
    },
}
SAMPLED = {
    "prompt": ASKED,
    "model_name": "pythia-1b",
    "results": [{"sampling_config": "k50", "sampling_params": {"top_k": 50}, "outputs": [PHYSICS]}],
}


def exported(**columns):
    key = prompt_key([Message(role="user", content=ASKED)])
    row = {"prompt": ASKED, "chosen": PHYSICS, "rejected": POLES, "prompt_key": key}
    return row | {"group": "", "strength": 2, "annotator": "a1", "left_won": True} | columns


def labelled(**columns):
    """A row of “All labels with everything”."""
    turns = [{"role": "user", "content": ASKED}]
    row = {
        "label": 7,
        "task": 3,
        "prompt_key": prompt_key([Message(role="user", content=ASKED)]),
        "messages": json.dumps(turns, ensure_ascii=False),
        "kind": "compare",
        "answer": '{"choice":2}',
        "says": ["pair"],
        "items": [PHYSICS, POLES],
        "item_ids": [1, 2],
        "item_sources": ["model", "imported"],
        "item_models": ["M", ""],
        "annotator": "a1",
        "origin": "person",
        "source": "label",
        "counted": True,
        "overruled": False,
        "rationale": "Kinder.",
        "flags": ["false"],
        "visible_ms": 1200,
        "created_at": "2026-01-02T03:04:05.000006Z",
        "group": "",
    }
    return row | columns


def annotated(result, **data):
    """A task of Label Studio."""
    entry = {
        "id": 7,
        "completed_by": 3,
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
    }
    return {"id": 1, "data": data, "annotations": [entry], "predictions": [], "project": 2}


def answered(kind, value):
    return {"id": "Kx1", "from_name": "it", "to_name": "them", "type": kind, "value": value}


TYPED: dict[str, list[Typed]] = {
    "exported": [Typed("the card beside an export of ours", [exported(), exported(left_won=None)])],
    "labelled": [
        Typed(
            "the card beside all labels with everything",
            [
                labelled(),
                labelled(kind="ranked", answer='{"strength": 2}', source="rank", group="t1"),
            ],
        )
    ],
    "oasst": [
        Typed("Open-Assistant docs, data/datasets: trees", [TREE]),
        Typed("OpenAssistant/oasst1, dataset card: flat messages", MESSAGES),
    ],
    "sampled": [Typed("Open-Assistant, model/model_eval/sampling_report.py", [SAMPLED])],
    "label_studio": [
        Typed(
            "Label Studio docs, templates: Human Preference collection for RLHF",
            [
                annotated(
                    [answered("pairwise", {"selected": "left"})],
                    prompt=ASKED,
                    answer1=PHYSICS,
                    answer2=POLES,
                )
            ],
        ),
        Typed(
            "Label Studio docs, templates: LLM Ranker",
            [
                annotated(
                    [answered("ranker", {"ranker": {"rank": ["two", "one"]}})],
                    prompt=ASKED,
                    items=[{"id": "one", "body": PHYSICS}, {"id": "two", "body": POLES}],
                )
            ],
        ),
        Typed(
            "Label Studio docs, templates: LLM Response Grading",
            [annotated([answered("rating", {"rating": 4})], prompt=ASKED, response=PHYSICS)],
        ),
        Typed(
            "Label Studio docs, templates: Supervised LLM Fine-Tuning",
            [annotated([answered("textarea", {"text": [PHYSICS]})], prompt=ASKED)],
        ),
    ],
    "argilla": [
        Typed(
            "Argilla 2 docs, how-to: import and export records",
            [
                {
                    "id": "r1",
                    "status": "completed",
                    "fields": {"instruction": ASKED, "response_1": PHYSICS, "response_2": POLES},
                    "metadata": {"model": "m"},
                    "suggestions": {"better": {"value": "response_1", "score": None, "agent": "m"}},
                    "responses": {
                        "better": [
                            {"value": "response_2", "user_id": "5b1c", "status": "submitted"},
                            {"value": "response_1", "user_id": "77aa", "status": "draft"},
                        ]
                    },
                    "vectors": {},
                }
            ],
        ),
        Typed(
            "Argilla 2 docs, how-to: export records to a dataset of the Hub",
            [
                {
                    "id": "r1",
                    "status": "completed",
                    "prompt": ASKED,
                    "response_1": PHYSICS,
                    "response_2": POLES,
                    "better.responses": ["response_1"],
                    "better.responses.users": ["5b1c"],
                    "better.responses.status": ["submitted"],
                    "better.suggestion": "response_2",
                }
            ],
        ),
        Typed(
            "Argilla 1 docs, feedback dataset: responses with values",
            [
                {
                    "fields": {"prompt": ASKED, "response-1": PHYSICS, "response-2": POLES},
                    "responses": [
                        {
                            "user_id": "5b1c",
                            "status": "submitted",
                            "values": {
                                "order": {
                                    "value": [
                                        {"value": "response-2", "rank": 1},
                                        {"value": "response-1", "rank": 2},
                                    ]
                                }
                            },
                        }
                    ],
                    "external_id": "e1",
                }
            ],
        ),
    ],
    "open_webui": [
        Typed("Open WebUI docs, evaluation: a thumb", [FEEDBACK]),
        Typed(
            "Open WebUI docs, evaluation: a battle of the arena",
            [FEEDBACK | {"data": FEEDBACK["data"] | {"sibling_model_ids": ["qwen3:4b"]}}],
        ),
    ],
    "openai_preferences": [
        Typed(
            "OpenAI docs, fine-tuning: direct preference optimization",
            [
                {
                    "input": {"messages": [TURN], "tools": [], "parallel_tool_calls": True},
                    "preferred_output": [said("assistant", PHYSICS)],
                    "non_preferred_output": [said("assistant", POLES)],
                }
            ],
        ),
        Typed(
            "OpenAI docs, fine-tuning: direct preference optimization, with tools",
            [
                {
                    "input": {"messages": [TURN, CALLED, TOLD], "tools": TOOLS},
                    "preferred_output": [said("assistant", PHYSICS)],
                    "non_preferred_output": [said("assistant", POLES)],
                }
            ],
        ),
    ],
    "arena": [
        Typed(
            "lmsys/lmsys-arena-human-preference-55k, dataset card",
            [
                {
                    "id": 30192,
                    "model_a": "m1",
                    "model_b": "m2",
                    "prompt": f'["{ASKED}"]',
                    "response_a": f'["{PHYSICS}"]',
                    "response_b": f'["{POLES}"]',
                    "winner_model_a": 0,
                    "winner_model_b": 1,
                    "winner_tie": 0,
                }
            ],
        )
    ],
    "preferences": [
        Typed(
            "TRL docs, dataset formats: preference, explicit prompt",
            [
                {"prompt": ASKED, "chosen": PHYSICS, "rejected": POLES},
                {"prompt": [TURN]}
                | {"chosen": [said("assistant", PHYSICS)], "rejected": [said("assistant", POLES)]},
            ],
        ),
        Typed(
            "TRL docs, dataset formats: preference, implicit prompt",
            [
                {"chosen": f"{ASKED} {PHYSICS}", "rejected": f"{ASKED} {POLES}"},
                {
                    "chosen": [TURN, said("assistant", PHYSICS)],
                    "rejected": [TURN, said("assistant", POLES)],
                },
            ],
        ),
        Typed(
            "Anthropic/hh-rlhf, dataset card",
            [
                {
                    "chosen": f"\n\nHuman: {ASKED}\n\nAssistant: {PHYSICS}",
                    "rejected": f"\n\nHuman: {ASKED}\n\nAssistant: {POLES}",
                }
            ],
        ),
        Typed(
            "HuggingFaceH4/ultrafeedback_binarized, dataset card",
            [
                {
                    "prompt": ASKED,
                    "prompt_id": "1a",
                    "chosen": [TURN, said("assistant", PHYSICS)],
                    "rejected": [TURN, said("assistant", POLES)],
                    "messages": [TURN, said("assistant", PHYSICS)],
                    "score_chosen": 8.5,
                    "score_rejected": 7.0,
                }
            ],
        ),
        Typed(
            "LLaMA-Factory, data/README: preference, Alpaca and ShareGPT",
            [
                {"instruction": ASKED, "input": "Briefly.", "chosen": PHYSICS, "rejected": POLES},
                {
                    "conversations": [spoken("human", ASKED)],
                    "chosen": spoken("gpt", PHYSICS),
                    "rejected": spoken("gpt", POLES),
                },
            ],
        ),
    ],
    "helpsteer": [
        Typed(
            "nvidia/HelpSteer and HelpSteer2, dataset cards",
            [{"prompt": ASKED, "response": PHYSICS} | MARKS],
        ),
        Typed(
            "nvidia/HelpSteer2, dataset card: preference",
            [
                {
                    "split": "train",
                    "prompt": ASKED,
                    "response_1": PHYSICS,
                    "response_2": POLES,
                    "preference_strength": 2,
                    "preference_statement": "Response 2 is better.",
                }
            ],
        ),
        Typed(
            "nvidia/HelpSteer3, dataset card: preference",
            [
                {
                    "domain": "general",
                    "language": "english",
                    "context": [TURN],
                    "response1": PHYSICS,
                    "response2": POLES,
                    "overall_preference": -1,
                    "individual_preference": [{"score": -1, "reasoning": "Shorter."}],
                }
            ],
        ),
    ],
    "unpaired": [
        Typed(
            "TRL docs, dataset formats: unpaired preference",
            [
                {"prompt": ASKED, "completion": PHYSICS, "label": True},
                {"prompt": [TURN], "completion": [said("assistant", POLES)], "label": False},
            ],
        ),
        Typed(
            "LLaMA-Factory, data/README: KTO",
            [
                {"messages": [TURN, said("assistant", PHYSICS)], "kto_tag": True},
                {"instruction": ASKED, "input": "", "output": POLES, "kto_tag": False},
            ],
        ),
    ],
    "answers": [
        Typed(
            "TRL docs, dataset formats: prompt-completion",
            [
                {"prompt": ASKED, "completion": PHYSICS},
                {"prompt": [TURN], "completion": [said("assistant", POLES)]},
            ],
        ),
        Typed(
            "TRL docs, dataset formats: tool calling",
            [
                {
                    "messages": [TURN, CALLED_BY_TRL, TOLD_BY_TRL, said("assistant", PHYSICS)],
                    "tools": TOOLS,
                },
                {
                    "prompt": [TURN, CALLED_BY_TRL, TOLD_BY_TRL],
                    "completion": [said("assistant", PHYSICS)],
                    "tools": json.dumps(TOOLS),
                },
            ],
        ),
        Typed(
            "OpenAI docs, fine-tuning: function calling",
            [
                {
                    "messages": [TURN, CALLED, TOLD, said("assistant", PHYSICS)],
                    "parallel_tool_calls": False,
                    "tools": TOOLS,
                }
            ],
        ),
        Typed(
            "LLaMA-Factory, data/README: ShareGPT with tools",
            [
                {
                    "conversations": [
                        spoken("human", ASKED),
                        spoken("function_call", json.dumps(CALL)),
                        spoken("observation", '{"tesla": 0.1}'),
                        spoken("gpt", PHYSICS),
                    ],
                    "tools": json.dumps([FIELD]),
                }
            ],
        ),
        Typed(
            "openbmb/UltraFeedback, dataset card",
            [
                {
                    "source": "evol_instruct",
                    "instruction": ASKED,
                    "models": ["m1", "m2"],
                    "completions": [
                        {"model": "m1", "response": PHYSICS, "overall_score": 7.5},
                        {"model": "m2", "response": POLES, "overall_score": 8.0},
                    ],
                }
            ],
        ),
        Typed(
            "tatsu-lab/alpaca, dataset card, and LLaMA-Factory, data/README: Alpaca",
            [
                {"instruction": ASKED, "input": "", "output": PHYSICS, "text": "…"},
                {
                    "instruction": "Why?",
                    "input": "",
                    "output": POLES,
                    "system": "Be brief.",
                    "history": [[ASKED, PHYSICS]],
                },
            ],
        ),
        Typed(
            "ShareGPT, and LLaMA-Factory, data/README: ShareGPT",
            [{"id": "s1", "conversations": [spoken("human", ASKED), spoken("gpt", PHYSICS)]}],
        ),
        Typed(
            "OpenAI docs, fine-tuning: chat",
            [{"messages": [said("system", "Be brief."), TURN, said("assistant", PHYSICS)]}],
        ),
        Typed(
            "lmsys/chatbot_arena_conversations, dataset card",
            [
                {
                    "question_id": "q1",
                    "model_a": "m1",
                    "model_b": "m2",
                    "winner": "model_a",
                    "judge": "arena_user_12",
                    "conversation_a": [TURN, said("assistant", PHYSICS)],
                    "conversation_b": [TURN, said("assistant", POLES)],
                    "turn": 1,
                    "language": "English",
                }
            ],
        ),
        Typed(
            "a ranking of several answers",
            [{"prompt": ASKED, "completions": [PHYSICS, POLES], "ranks": [1, 0]}],
        ),
    ],
    "prompts": [
        Typed("TRL docs, dataset formats: prompt-only", [{"prompt": ASKED}, {"prompt": [TURN]}]),
        Typed("one JSON string a line", [ASKED]),
    ],
}
