"""Every endpoint of inference beside chat with mistralai 0.4.2."""

from material import KEY, URL, expect, raises, same
from mistralai.client import MistralClient
from mistralai.exceptions import MistralAPIException

client = MistralClient(api_key=KEY, endpoint=URL, max_retries=0)


def fim():
    asked = {
        "model": "coder",
        "prompt": "def add(a, b):\n    return ",
        "suffix": "\n",
        "temperature": 0.5,
        "max_tokens": 6,
        "random_seed": 4,
        "stop": ["zzz"],
    }
    answer = client.completion(**asked)
    choice = answer.choices[0]
    same((answer.object, answer.model), ("chat.completion", "coder"))
    expect(choice.finish_reason in ("stop", "length"), choice)
    expect(answer.usage.prompt_tokens > 5 and answer.usage.completion_tokens <= 6, answer.usage)
    pieces = list(client.completion_stream(**asked))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    same(text, choice.message.content)
    same(pieces[-1].usage, answer.usage)
    refused = raises(MistralAPIException, client.completion, model="modiste-tiny", prompt="x")
    same(refused.http_status, 422)
    expect("cannot fill in the middle" in refused.message, refused.message)


def embeddings():
    told = client.embeddings(model="sentences", input=["the house", "the river"])
    same((told.object, told.model, len(told.data)), ("list", "sentences", 2))
    same([entry.index for entry in told.data], [0, 1])
    expect(abs(sum(x * x for x in told.data[0].embedding) - 1) < 1e-5, told.data[0])
    same((told.usage.prompt_tokens, told.usage.total_tokens), (8, 8))
    one = client.embeddings(model="modiste-tiny", input="the house")
    same(len(one.data[0].embedding), 256)


fim()
embeddings()
