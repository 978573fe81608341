"""Valid rows, and random damage to them: to their values, to their text, to their bytes."""

from __future__ import annotations

import gzip
import io
import json
import random
from typing import Any

import pyarrow
import pyarrow.ipc
from pyarrow import parquet

CALL = {"id": "abcdefghi", "function": {"name": "look", "arguments": '{"at": "x"}'}}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks",
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string", "pattern": "^[a-z]+$"}},
            "required": ["at"],
        },
    },
}
Q, A = {"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "There."}
SEEDS: dict[str, list[Any]] = {
    "chat": [
        {"messages": [Q, A]},
        {"messages": [{"role": "system", "content": "Be brief."}, Q, A, Q, A | {"weight": 0}]},
        {
            "messages": [
                Q,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "content": "x", "tool_call_id": "abcdefghi", "name": "look"},
                A,
            ],
            "tools": [TOOL],
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, A]},
        {"interactions": [Q, A], "system_prompt": "s", "only_last": True, "available_tools": []},
        {"messages": [Q, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]},
    ],
    "text": [{"text": "Some words to go on with. " * 9}, {"content": "Words."}],
    "classifier": [
        {"text": "good", "labels": {"tone": "kind"}},
        {"messages": [Q], "labels": {"tone": ["kind", "short"]}},
        {"text": "good", "label": 1},
    ],
    "preference": [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [Q], "chosen": [A], "rejected": [A | {"content": "no"}]},
        {"input": {"messages": [Q]}, "preferred_output": [A], "non_preferred_output": [A]},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    ],
    "sharegpt": [
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "look", "arguments": {"at": "x"}}'},
                {"from": "observation", "value": "x"},
                {"from": "gpt", "value": "a"},
            ],
            "tools": '[{"name": "look", "description": "", "parameters": {}}]',
            "system": "s",
        }
    ],
    "alpaca": [{"instruction": "i", "input": "j", "output": "o", "history": [["a", "b"]]}],
    "pairs": [{"question": "q", "answer": "a"}, {"prompt": "p", "completion": "c"}],
    "table": [
        {"chat_id": n // 2, "role": ("user", "assistant")[n % 2], "content": "c"} for n in range(4)
    ],
}
NASTY: list[Any] = [
    None, True, False, 0, 1, -1, 2**70, 1e308, -0.0, "", " ", "\0", "x" * 5_000, "[INST]</s>",
    "\u202e\u200b\ufeff", "é\u0301" * 9, "😀", "null", "NaN", "{", '{"a": ', '[{"from": 1}]', "7",
    [], {}, [[]], [{}], {"": ""}, [None], "user", "assistant", "tool", "system", "developer",
    {"$ref": "#"}, {"type": "nonsense"}, {"pattern": "(a+)+$"}, ["a", 1, None, {}], "a" * 65,
    "2024-01-01", "4111 1111 1111 1111", "someone@example.org", "sk-" + "aB3" * 16, "# " * 200,
]  # fmt: skip
KEYS = [
    "messages", "role", "content", "text", "weight", "prefix", "tool_calls", "tool_call_id", "name",
    "tools", "function", "arguments", "id", "type", "labels", "chosen", "rejected", "prompt",
    "conversations", "from", "value", "instruction", "input", "output", "history", "system", "",
    "parameters", "properties", "label", "interactions", "text\0", "only_last", "system_prompt",
]  # fmt: skip


def changed(value: Any, rng: random.Random) -> Any:
    """The value with one random place of it changed."""
    place = rng.choice(list(_places(value)))
    return _at(value, place, lambda old: _other(old, rng))


def damaged(text: bytes, rng: random.Random) -> bytes:
    """The bytes with one random thing done to them."""
    at, n = rng.randrange(len(text) + 1), rng.choice([1, 1, 2, 8, 100])
    kind = rng.randrange(9)
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + rng.randbytes(n) + text[at + n :]
    if kind == 2:
        return text[:at] + rng.randbytes(n) + text[at:]
    if kind == 3:
        return text[:at] + text[at + n :]
    if kind == 4:
        other = rng.randrange(len(text) + 1)
        return text[:at] + text[other : other + 40] + text[at:]
    if kind == 5 and text:
        bit = bytes([text[at - 1] ^ (1 << rng.randrange(8))])
        return text[: at - 1] + bit + text[at:] if at else bit + text[1:]
    if kind == 6:
        piece = rng.choice([b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\\ud800", b"NaN"])
        return text[:at] + piece + text[at:]
    if kind == 7:
        return text.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b" "]))
    return text[:at] + b"[" * rng.choice([50, 300, 5_000]) + text[at:]


def file_bytes(rng: random.Random) -> tuple[str, bytes]:
    """A name and the content of a file that was valid once."""
    if rng.random() < 0.05:
        return columnar(rng)
    kind = rng.choice(list(SEEDS))
    rows = [rng.choice(SEEDS[kind]) for _ in range(rng.randint(1, 5))]
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        at = rng.randrange(len(rows))
        rows[at] = changed(rows[at], rng)
    ascii_only = rng.random() < 0.5
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    name = rng.choice(["rows.jsonl"] * 6 + ["rows.json", "rows.csv", "rows.tsv", "rows"])
    text = f"[{', '.join(lines)}]" if name == "rows.json" else "\n".join(lines) + "\n"
    if name.endswith(("csv", "tsv")):
        text = 'role,content,chat_id\nuser,q,1\nassistant,"a\nb",1\n' + rng.choice(["", text])
    data = text.encode("utf-8", "surrogatepass")
    for _ in range(rng.choice([0, 0, 1, 1, 3])):
        data = damaged(data, rng)
    if rng.random() < 0.1:
        data, name = gzip.compress(data, 1, mtime=0), f"{name}.gz"
        data = damaged(data, rng) if rng.random() < 0.5 else data
    return name, data


def columnar(rng: random.Random) -> tuple[str, bytes]:
    """A Parquet or Arrow file of simple rows, damaged most of the time."""
    kind = rng.choice(["pairs", "sharegpt", "table"])
    rows = [rng.choice(SEEDS[kind][:1]) for _ in range(rng.randint(1, 5))]
    table = pyarrow.Table.from_pylist(rows)
    sink = io.BytesIO()
    name = rng.choice(["rows.parquet", "rows.arrow"])
    if name == "rows.parquet":
        parquet.write_table(table, sink)
    else:
        with pyarrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    data = sink.getvalue()
    for _ in range(rng.choice([0, 1, 1, 2])):
        data = damaged(data, rng)
    return name, data


def _places(value: Any, place: tuple[Any, ...] = ()) -> Any:
    yield place
    if not isinstance(value, dict | list):
        return
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _places(child, (*place, key))


def _at(value: Any, place: tuple[Any, ...], change: Any) -> Any:
    if not place:
        return change(value)
    made = dict(value) if isinstance(value, dict) else list(value)
    made[place[0]] = _at(value[place[0]], place[1:], change)
    return made


def _other(old: Any, rng: random.Random) -> Any:
    kind = rng.randrange(8)
    if isinstance(old, dict) and old and kind < 5:
        made = dict(old)
        key = rng.choice(list(made))
        if kind == 0:
            del made[key]
        elif kind == 1:
            made[rng.choice(KEYS)] = made.pop(key)
        elif kind == 2:
            made[rng.choice(KEYS)] = rng.choice(NASTY)
        elif kind == 3:
            made[key] = rng.choice(NASTY)
        else:
            made[rng.choice(KEYS)] = made[key]
        return made
    if isinstance(old, list) and old and kind < 5:
        made_list = list(old)
        at = rng.randrange(len(old))
        if kind == 0:
            del made_list[at]
        elif kind == 1:
            rng.shuffle(made_list)
        elif kind == 2:
            made_list.insert(at, made_list[at])
        elif kind == 3:
            made_list[at] = rng.choice(NASTY)
        else:
            made_list *= rng.choice([2, 30])
        return made_list
    if isinstance(old, str) and old and kind < 4:
        at = rng.randrange(len(old))
        piece = rng.choice(["\u2028", "\ud800", "</s>", "\0", '"', "x" * 300, "é"])
        return old[:at] + piece + old[at:]
    if kind == 7:
        nested: Any = old
        for _ in range(rng.choice([3, 70, 300])):
            nested = [nested] if rng.random() < 0.5 else {"a": nested}
        return nested
    return rng.choice(NASTY)
