"""Every endpoint of inference beside chat with the stock `openai` client, 1.x and 3.x."""

import openai
from material import KEY, URL, expect, raises, same

client = openai.OpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0)


def texts():
    asked = {
        "model": "modiste-tiny",
        "prompt": ["The river", "The house"],
        "max_tokens": 6,
        "seed": 4,
        "n": 2,
        "echo": True,
        "stop": ["zzz"],
    }
    answer = client.completions.create(**asked)
    same((answer.object, answer.model), ("text_completion", "modiste-tiny"))
    same([choice.index for choice in answer.choices], [0, 1, 2, 3])
    expect(all(c.text.startswith("The river") for c in answer.choices[:2]), answer.choices)
    expect(all(c.finish_reason in ("stop", "length") for c in answer.choices), answer.choices)
    expect(0 < answer.usage.completion_tokens <= 24, answer.usage)
    alone = client.completions.create(**{**asked, "prompt": "The house"})
    same([c.text for c in alone.choices], [c.text for c in answer.choices[2:]])
    told = [""] * 4
    options = {"include_usage": True}
    chunks = list(client.completions.create(**asked, stream=True, stream_options=options))
    for chunk in chunks:
        for choice in chunk.choices:
            told[choice.index] += choice.text
    same(told, [choice.text for choice in answer.choices])
    same((chunks[-1].choices, chunks[-1].usage), ([], answer.usage))
    filled = client.completions.create(model="coder", prompt="def f(", suffix="): pass")
    expect(filled.usage.prompt_tokens > 6, filled)
    refused = raises(
        openai.BadRequestError, client.completions.create, **{**asked, "suffix": "end"}
    )
    same(refused.code, "fim_unknown")


texts()
