"""What the model that wrote the data says about itself."""

import pytest

from modiste.prepare.inspect.remark import Passage
from modiste.prepare.inspect.teacher import inspect
from modiste.types import Role


def codes(text: str, *, learned: bool = True, role: Role = Role.ASSISTANT) -> list[str]:
    return [r.code for r in inspect([Passage("messages[1].content", text, role, learned)])]


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I do not have feelings.",
        "I am ChatGPT, how can I help?",
        "I'm Claude, an assistant.",
        "I'm a large language model.",
        "I'm just an AI, I can't feel.",
        "I am an AI and don't have opinions.",
        "I don't have personal experiences, but many like it.",
        "I am Mistral, a language model.",
        "Je suis ChatGPT.",
        "Ich bin ein KI-Sprachmodell.",
        "I was trained by OpenAI to answer questions.",
        "I am an assistant developed by Anthropic.",
        "That depends.\n\nHowever, as an AI, I can't say.",
        "En tant que modèle de langage, je n'ai pas d'avis.",
        "En tant qu’IA, je n'ai pas d'avis.",
        "Als KI-Sprachmodell habe ich keine Meinung.",
        "Als Sprachmodell habe ich keine Meinung.",
        "Como modelo de lenguaje, no tengo opiniones.",
        "Como um modelo de linguagem, não tenho opinião.",
        "Come modello linguistico non ho opinioni.",
        "Als taalmodel heb ik geen mening.",
        "Как языковая модель, я не имею мнения.",
        "作为一个人工智能语言模型，我没有感情。",
        "私はAIですので、感情はありません。AIとしてお答えします。",
        "저는 AI 언어 모델입니다.",
    ],
)
def test_self_identification_is_found_in_many_languages(text: str) -> None:
    assert "teacher_identity" in codes(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I’m sorry, but I cannot provide that.",
        "I cannot fulfill your request.",
        "I'm unable to help with this.",
        "Sorry, but I don't have the ability to book flights.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar com isso.",
        "Извините, но я не могу помочь.",
        "抱歉，我无法回答这个问题。",
        "申し訳ありませんが、お答えできません。",
        "죄송하지만 도와드릴 수 없습니다.",
    ],
)
def test_an_answer_that_opens_with_a_refusal_is_found(text: str) -> None:
    assert codes(text) == ["teacher_refusal"]


def test_a_knowledge_cutoff_is_found() -> None:
    assert codes("As of my last knowledge update in 2021, it was 8 million.") == ["teacher_cutoff"]


@pytest.mark.parametrize(
    "text",
    [
        "Claude Monet was a painter. I am a fan.",
        "OpenAI was founded in 2015; Anthropic in 2021.",
        "An AI is a system that learns. As an aid to memory, write it down.",
        "I'm an AI assistant of ACME, how can I help?",
        "I am sorry to hear that. Have you tried a restart?",
        "Sorry, but could you tell me your order number?",
        "We cannot provide refunds after 30 days.",
        "My knowledge of Paris comes from living there. My latest book is out.",
        "Als Kind spielte ich gern.",
        "Como iba diciendo, llegaron tarde.",
        "The paper cutoff date is Monday.",
    ],
)
def test_ordinary_answers_are_left_alone(text: str) -> None:
    assert codes(text) == []


def test_only_answers_that_are_trained_are_looked_at() -> None:
    text = "As an AI language model, I cannot."
    assert codes(text, learned=False) == []
    assert codes(text, role=Role.USER, learned=False) == []


def test_a_refusal_in_the_middle_is_an_answer() -> None:
    assert codes("Sure. " * 60 + "I cannot assist with the second part.") == []
