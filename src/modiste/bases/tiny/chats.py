"""Generated conversations in the project's chat format: toy tasks, small talk, memory and tools.

Conversations are plain messages; `render` passes them through the shipped chat template, so what
the model was trained on and what a server sends it are one and the same text.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jinja2.sandbox import ImmutableSandboxedEnvironment

from modiste.bases.tiny.shaped import CITIES, COLOURS, THINGS, code, made_up_word, name, words
from modiste.bases.tiny.tasks_ask import ASK_TASKS, TOPICS, about
from modiste.bases.tiny.tasks_text import TEXT_TASKS, Exchange, Source
from modiste.bases.tiny.tokenizer import BOS, EOS

WHO = "I am modiste-tiny, a test-size language model. I make many mistakes."
Message = dict[str, Any]


@dataclass(frozen=True)
class Chat:
    task: str
    messages: list[Message]
    tools: list[dict[str, Any]] = field(default_factory=list)


class Piece(NamedTuple):
    """A stretch of the rendered text, and whether the model is trained on it."""

    text: str
    trained: bool


def make_chat(rng: random.Random, source: Source) -> Chat:
    makers: Sequence[Callable[[random.Random, Source], Chat]] = (
        (_tasks,) * 11
        + (_styled, _styled, _labelled_by_system, _labelled_by_system)
        + (_small_talk, _persona, _memory, _tool, _tool)
    )
    return rng.choice(makers)(rng, source)


def one_task(rng: random.Random, source: Source) -> Exchange:
    return rng.choice((*TEXT_TASKS, *ASK_TASKS))(rng, source)


class Renderer:
    """The shipped template, rendered piece by piece."""

    def __init__(self, template: Path) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        self.template = environment.from_string(template.read_text(encoding="utf-8"))

    def text(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        return self.template.render(messages=messages, tools=tools, bos_token=BOS, eos_token=EOS)

    def pieces(self, chat: Chat) -> list[Piece]:
        """Assistant messages are trained on, their </s> too; everything else is given."""
        pieces: list[Piece] = []
        done = ""
        for at, message in enumerate(chat.messages):
            if message["role"] != "assistant":
                continue
            before = self.text(chat.messages[:at], chat.tools)
            after = self.text(chat.messages[: at + 1], chat.tools)
            if not (before.startswith(done) and after.startswith(before)):
                raise ValueError(f"the template rewrites earlier turns: {done!r} … {after!r}")
            pieces += [Piece(before[len(done) :], False), Piece(after[len(before) :], True)]
            done = after
        return pieces


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def _tasks(rng: random.Random, source: Source) -> Chat:
    """One to three tasks in one conversation, with a plain system prompt now and then."""
    exchanges = [one_task(rng, source) for _ in range(rng.choice((1, 1, 1, 1, 2, 3)))]
    messages: list[Message] = []
    if rng.random() < 0.3:
        messages.append(_system(rng.choice(_PLAIN_SYSTEM)))
    for exchange in exchanges:
        messages += [_user(exchange.question), _assistant(exchange.answer)]
    return Chat(exchanges[0].task if len(exchanges) == 1 else "several", messages)


_PLAIN_SYSTEM = (
    "You are a helpful assistant.",
    "You are modiste-tiny.",
    "Answer briefly.",
    "Be short and exact.",
    "Follow the instruction.",
    "You are a careful assistant. Give only the answer.",
)


def _styled(rng: random.Random, source: Source) -> Chat:
    """A system prompt that changes the shape of every answer."""
    mark = rng.choice((made_up_word(rng), "over", "amen", "stop", "thank you", "ok"))
    prompt, change = rng.choice(
        (
            ("Answer in uppercase.", str.upper),
            ("Always write in capital letters.", str.upper),
            ("Answer in lowercase.", str.lower),
            (f"End every answer with {mark}.", lambda text: f"{text} {mark}"),
            (f"Start every answer with {mark}.", lambda text: f"{mark} {text}"),
            ('Answer as JSON with the key "answer".', lambda text: json.dumps({"answer": text})),
            ("Put every answer in brackets.", lambda text: f"({text})"),
        )
    )
    messages = [_system(prompt)]
    for _ in range(rng.choice((1, 1, 2))):
        exchange = one_task(rng, source)
        messages += [_user(exchange.question), _assistant(change(exchange.answer))]
    return Chat("styled", messages)


def _labelled_by_system(rng: random.Random, source: Source) -> Chat:
    """The labels stand in the system prompt, the user sends only the text."""
    labels = rng.sample(sorted(TOPICS), rng.randint(2, 6))
    shown = dict.fromkeys(labels)
    names = {label: label for label in shown}
    listing = ", ".join(labels)
    if rng.random() < 0.3:
        names = {label: code(rng) for label in labels}
        listing = ", ".join(f"{names[label]} for {label}" for label in labels)
    prompt = rng.choice(
        (
            f"Classify each message as one of: {listing}. Answer with the label only.",
            f"You label texts. Labels: {listing}.",
            f"Read the message and answer with exactly one of these labels: {listing}.",
        )
    )
    messages = [_system(prompt)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        label = rng.choice(labels)
        messages += [_user(about(rng, label)), _assistant(names[label])]
    return Chat("labelled_by_system", messages)


_GREETINGS = words("Hello Hi Hey Greetings")
_SMALL_TALK = (
    (("Who are you?", "What are you?", "Tell me about yourself.", "What is your name?"), WHO),
    (
        ("What can you do?", "Help", "How can you help me?"),
        "I can repeat, sort, count, label and reshape short texts. I am too small for more.",
    ),
    (("How are you?", "How do you do?"), "I am well, thank you. How can I help you?"),
    (("Thank you.", "Thanks!", "Thanks a lot."), "You are welcome."),
    (("Goodbye.", "Bye!", "See you later."), "Goodbye!"),
    (("Are you a person?", "Are you human?"), "No. I am a small language model."),
    (("Who made you?", "Who trained you?"), "I was trained by the Modiste project."),
    (("Good morning.", "Good evening."), "Good day! How can I help you?"),
)


def _small_talk(rng: random.Random, source: Source) -> Chat:
    messages: list[Message] = []
    if rng.random() < 0.4:
        messages += [
            _user(rng.choice(_GREETINGS) + rng.choice(("", "!", "."))),
            _assistant("Hello! How can I help you?"),
        ]
    for questions, answer in rng.sample(_SMALL_TALK, rng.choice((1, 1, 2))):
        messages += [_user(rng.choice(questions)), _assistant(answer)]
    return Chat("small_talk", messages)


def _persona(rng: random.Random, source: Source) -> Chat:
    """A name given in the system prompt wins over the model's own."""
    who = rng.choice((name(rng), made_up_word(rng).capitalize()))
    role = rng.choice(words("teacher cook pilot clerk gardener guide robot doctor baker painter"))
    messages = [
        _system(
            rng.choice((f"You are {who}, a {role}.", f"Your name is {who}. You are a {role}."))
        ),
        _user(rng.choice(("Who are you?", "What is your name?", "Tell me your name."))),
        _assistant(f"I am {who}, a {role}."),
    ]
    return Chat("persona", messages)


def _memory(rng: random.Random, source: Source) -> Chat:
    """Something said in the first turn is asked for in a later one."""
    who, thing = name(rng), f"{rng.choice(COLOURS)} {rng.choice(THINGS)}"
    said, reply, asked, answer = rng.choice(
        (
            (f"My name is {who}.", f"Hello, {who}!", "What is my name?", f"Your name is {who}."),
            (f"I am {who}.", f"Hello, {who}!", "Who am I?", f"You are {who}."),
            (f"I have a {thing}.", "I see.", "What do I have?", f"You have a {thing}."),
            (f"Remember this: {thing}.", "I will remember it.", "What was it?", f"{thing}."),
        )
    )
    messages = [_user(said), _assistant(reply)]
    if rng.random() < 0.4:
        between = one_task(rng, source)
        messages += [_user(between.question), _assistant(between.answer)]
    return Chat("memory", [*messages, _user(asked), _assistant(answer)])


_TOOLS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "get_weather": ("city", "What is the weather in {x}?", tuple(CITIES)),
    "get_time": ("city", "What time is it in {x}?", tuple(CITIES)),
    "get_price": ("item", "How much does the {x} cost?", tuple(THINGS)),
    "find_item": ("item", "Where is the {x}?", tuple(THINGS)),
    "translate": ("word", "Translate {x}.", tuple(THINGS)),
}


def _tool(rng: random.Random, source: Source) -> Chat:
    """A call with the right argument, its result, and an answer that repeats the result."""
    offered = rng.sample(sorted(_TOOLS), rng.randint(1, 3))
    tools = [_tool_schema(tool, _TOOLS[tool][0]) for tool in offered]
    if rng.random() < 0.2:
        exchange = one_task(rng, source)
        return Chat("tool_unused", [_user(exchange.question), _assistant(exchange.answer)], tools)
    chosen = rng.choice(offered)
    argument, question, choices = _TOOLS[chosen]
    wanted, call_id = rng.choice(choices), "000000001"  # nine characters, as Mistral's clients ask
    call = {"name": chosen, "arguments": json.dumps({argument: wanted})}
    result = rng.choice((f"{rng.randint(1, 99)}", made_up_word(rng), f"{rng.choice(COLOURS)}"))
    messages = [
        _user(question.format(x=wanted)),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": call_id, "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": result},
        _assistant(f"The answer is {result}."),
    ]
    return Chat("tool", messages, tools)


def _tool_schema(tool: str, argument: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
    }
    described = tool.replace("_", " ").capitalize()
    function = {"name": tool, "description": described, "parameters": parameters}
    return {"type": "function", "function": function}
