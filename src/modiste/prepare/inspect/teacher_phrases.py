"""How language models name themselves, refuse, and date themselves, in the languages they distil.

Patterns over lower-cased text. English first; the others by their stock phrases.
"""

from __future__ import annotations

import re

_MAKERS = (
    r"(?:openai|anthropic|google|deepmind|meta ai|mistral ai|alibaba|deepseek|microsoft|laion)"
)
_MODELS = (
    r"(?:chat ?gpt|gpt-?[345][\w.]*|claude|gemini|(?:google )?bard|llama(?: ?\d)?|copilot"
    r"|open ?assistant|deepseek[\w-]*|qwen[\w.]*|vicuna|mixtral|le chat)\b(?! \w+et\b)"
)

_IDENTITY_PLAIN = (
    r"\bas (?:an ai\b|an artificial intelligence\b|a (?:large )?(?:ai )?language model\b)",
    r"\bi(?:'m|’m| am) (?:just |only |merely )?(?:an ai|a (?:large )?) ?language model",
    r"\bi(?:'m|’m| am) (?:(?:just|only|merely) an ai\b|an ai(?:,| and) (?:i |do|can|am )"
    r"|an artificial intelligence\b|[\w .-]{1,30}, an? (?:large |ai )?language model)",
    r"\bi (?:do not|don['’]t) (?:have|possess|hold) personal"
    r" (?:experience|opinion|feeling|belief|emotion|preference|thought)s?\b",
    rf"\b(?:i(?:'m|’m| am)|my name is) {_MODELS}",
    rf"\bi(?:'m|’m| am| was|'ve been| have been)\b[^.!?\n]{{0,60}}\b"
    rf"(?:developed|created|trained|made|built|designed) by {_MAKERS}\b",
    r"\bals (?:ai-)?taalmodel\b",
    r"\bals (?:ki(?:-sprachmodell|-modell|-assistent)?|sprachmodell)\b",
    r"\bcomo (?:un )?modelo de lenguaje\b",
    r"\bcome modello (?:linguistico|di linguaggio)\b",
    r"\bcomo (?:um |uma )?(?:modelo de linguagem|ia)\b",
)
_IDENTITY_OTHER = (
    r"en tant qu['’](?:ia|intelligence artificielle|assistant virtuel)",
    r"en tant que mod[eè]le de langage|je suis (?:une ia|un mod[eè]le de langage|chatgpt)",
    r"als künstliche intelligenz|ich bin (?:eine ki|ein (?:großes )?(?:ki-)?sprachmodell|chatgpt)",
    r"soy (?:una ia|un modelo de lenguaje|chatgpt)|como (?:una )?inteligencia artificial",
    r"sou (?:uma ia|um modelo de linguagem)|como inteligência artificial",
    r"come intelligenza artificiale|sono un modello linguistico",
    r"jako (?:model językowy|ai)\b|(?:som|jag är) en (?:ai|språkmodell)",
    r"як (?:мовна модель|штучний інтелект)|я[ —-]+(?:большая )?языковая модель",
    r"как (?:\w+ )?(?:языковая модель|искусственный интеллект|ии\b)",
    r"作为(?:一[个名])?(?:大型)?(?:ai|人工智能|语言模型)",
    r"我是(?:一个)?(?:chatgpt|ai语言模型|人工智能助手|语言模型)",
    r"aiとして|言語モデルとして|私は(?:ai|人工知能)",
    r"ai 언어 ?모델|인공지능(?:으로서| 언어)|언어 모델로서",
    r"bir (?:yapay zeka|dil modeli) olarak|كنموذج لغوي|بصفتي (?:نموذج|ذكاء)",
    r"एक (?:एआई|ai) (?:भाषा )?मॉडल",
)
_CUTOFF = (
    r"\b(?:my|current) knowledge cut-?off\b",
    r"\bas of my (?:last|latest|most recent) (?:knowledge |training )?(?:update|cut-?off)",
    r"\bmy (?:training data|knowledge) (?:only )?"
    r"(?:goes up to|extends (?:only )?(?:up )?to|ends|was last updated|is limited to|cut)",
    r"\bmy last (?:knowledge |training )?update\b",
)
_REFUSAL_ENGLISH = (
    r"\bsorry,? (?:but|however)\b[^.\n]{0,60}"
    r"\b(?:can(?:no|'|’)t|can not|unable|not able|won't|don['’]t have|do not have)",
    r"\bi(?:'m|’m| am) (?:unable|not able) to "
    r"(?:assist|help|provide|fulfill|comply|answer|create|write|do that)",
    r"\bi (?:can(?:no|'|’)t|can not|won't|will not) (?:assist|fulfill|comply|support|provide"
    r"|participate|engage|answer that|do that|generate|help (?:you )?with"
    r"|create (?:content|explicit))",
    r"\bi (?:must|have to) (?:decline|refuse)\b",
)
_REFUSAL_OTHER = (
    r"je (?:suis )?(?:désolée?|regrette)\b[^.\n]{0,30}\bne (?:peux|suis)",
    r"je ne peux pas (?:vous )?(?:aider|répondre|fournir)",
    r"tut mir leid\b[^.\n]{0,40}\b(?:kann|nicht)",
    r"ich kann (?:ihnen|dir) (?:dabei|damit|hierbei) (?:leider )?nicht",
    r"lo siento\b[^.\n]{0,30}\bno (?:puedo|estoy)",
    r"no puedo (?:ayudarte|ayudarle|proporcionar|cumplir)",
    r"mi dispiace\b[^.\n]{0,30}\bnon (?:posso|sono)|non posso (?:aiutar|fornir)",
    r"(?:desculpe|sinto muito|lamento)\b[^.\n]{0,30}\bnão (?:posso|consigo)",
    r"het spijt me\b[^.\n]{0,30}\b(?:kan|niet)|jag (?:är ledsen|kan tyvärr)\b[^.\n]{0,30}\binte",
    r"(?:извините|простите|к сожалению)\b[^.\n]{0,30}\bне (?:могу|в состоянии)",
    r"(?:抱歉|对不起|很遗憾)[^。\n]{0,20}(?:无法|不能)",
    r"(?:申し訳|すみません)[^。\n]{0,30}ません",
    r"죄송(?:하지만|합니다)[^.\n]{0,40}(?:수 없|없습니다)",
    r"przykro mi\b[^.\n]{0,30}\bnie mog|üzgünüm\b[^.\n]{0,40}",
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _any(*groups: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(pattern for group in groups for pattern in group))


ENGLISH_IDENTITY = _any(_IDENTITY_PLAIN)
IDENTITY = _any(_IDENTITY_PLAIN, _IDENTITY_OTHER)
CUTOFF = _any(_CUTOFF)
REFUSAL = _any(_REFUSAL_ENGLISH, _REFUSAL_OTHER)

OPENING_WORDS = _words("""
    sorry unable able can't cannot can’t won't decline refuse artificial i'm trained created made
    siento puedo dispiace posso lamento desculpe spijt leid ledsen tyvärr regrette désolé désolée
    peux ihnen dir ia ki ki- lenguaje langage linguistico linguaggio linguagem taalmodel
    sprachmodell ki-sprachmodell qu'ia qu'intelligence qu'assistant suis künstliche bin soy sou sono
    inteligencia inteligência intelligenza językowy ai språkmodell мовна языковая искусственный
    штучний ии извините простите сожалению przykro üzgünüm yapay dil
""")
"""Without spaces and commas; scripts that write no spaces are always searched."""

CUTOFF_SIGNS = ("knowledge cut", "as of my ", "my training data", "my knowledge ", "my last ")
"""Each find of `CUTOFF` holds one of them."""
OPENING_SIGNS = (
    "an ai", "an artificial", "language model", "have personal", "possess personal",
    "hold personal", "gpt", "claude", "gemini", "bard", "llama", "copilot", "open assistant",
    "openassistant", "deepseek", "qwen", "vicuna", "mixtral", "le chat",
    "by openai", "by anthropic", "by google", "by deepmind", "by meta ai", "by mistral ai",
    "by alibaba", "by deepseek", "by microsoft", "by laion", "taalmodel", "als ki", "sprachmodell",
    "modelo de lenguaje", "modello linguistico", "modello di linguaggio", "modelo de linguagem",
    "como ia", "um ia", "uma ia", "en tant qu", "je suis une ia", "je suis un mod",
    "künstliche intelligenz", "ich bin eine ki", "soy una ia", "inteligencia artificial",
    "inteligência artificial", "intelligenza artificiale", "model językowy", "jako ai",
    "som en ai", "jag är en ai", "språkmodell", "мовна модель", "штучний інтелект",
    "языковая модель", "искусственный интеллект", " ии", "作为", "我是", "aiとして",
    "言語モデルとして", "私は", "ai 언어", "인공지능", "언어 모델로서", "yapay zeka", "dil modeli",
    "كنموذج", "بصفتي", "मॉडल",
    "sorry", "unable to ", "not able to ", "i cannot ", "i can't ", "i can’t ", "i can not ",
    "i won't ", "i will not ", "decline", "refuse", "désolé", "je regrette", "je suis regrette",
    "je ne peux pas ", "tut mir leid", "ich kann ihnen ", "ich kann dir ", "lo siento",
    "no puedo ", "mi dispiace", "non posso ", "desculpe", "sinto muito", "lamento",
    "het spijt me", "jag är ledsen", "jag kan tyvärr", "извините", "простите", "к сожалению",
    "抱歉", "对不起", "很遗憾", "申し訳", "すみません", "죄송", "przykro mi", "üzgünüm",
)  # fmt: skip
"""Each find of `IDENTITY` or `REFUSAL` holds one of them."""
