"""The little words and letters by which languages with Latin letters are told apart.

Articles, pronouns, conjunctions and auxiliaries, thirty or so for each language: words that nearly
every sentence needs and that mean something else, or nothing, in most other languages. A word that
several of them share counts for each in part.
"""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "gu": "Gujarati",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kn": "Kannada",
    "ko": "Korean", "ml": "Malayalam", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak",
    "sr": "Serbian", "sv": "Swedish", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

_LISTS: Mapping[str, str] = {
    "en": "the of and to in is that it was for are with as his they be at this have from or had "
    "by but not what were we when your can an which their if will how about then them these "
    "she would make him has could been who its than you do did does i my me our there where "
    "why her more some into should any tell give write explain please",
    "fr": "le la les des du et est une un dans que qui pour par sur pas avec ce cette ces sont au "
    "aux il elle nous vous ils ne se son sa ses leur plus ou mais comme être avoir fait "
    "peut tout été je tu mon ma mes comment pourquoi quel quelle où donc à écrire est-ce "
    "c'est",
    "de": "der die das und ist nicht ein eine einen einem einer zu den mit von im dem des sich "
    "auf für als auch es an werden aus er hat dass sie nach wird bei einem noch wie einer "
    "ich wir sind oder wenn kann zum zur über aber diese dieser durch haben man nur was mir "
    "mich bitte wo",
    "es": "el la los las de que y en un una es por con para del se no su al lo como más pero sus "
    "le ya este sí porque esta entre cuando muy sin sobre también me hasta hay donde quien "
    "desde todo nos son está qué cómo ser tiene puede escribe fue cuál por qué están yo mi "
    "eso",
    "it": "il di che e la per un in una è non sono con del della dei delle le si da come anche ma "
    "più al nel lo alla gli questo questa ho ha o se io mi ti ci su dal cosa quando perché "
    "molto essere stato può nella degli dell' ai quali cui quale scrivi i tra fra suo sua "
    "loro",
    "pt": "o a os as de que e do da em um uma para com não por mais dos como mas foi ao ele das "
    "tem à seu sua ou ser quando muito há nos já está eu também só pelo pela até isso ela "
    "entre era você são meu minha no na nas qual quais esta este pode fazer escreva num "
    "numa",
    "nl": "de het een en van ik te dat die in je is niet zijn met op voor er aan om was ook als "
    "dan maar bij nog uit door wat naar kan heb hebben wordt zij deze worden mijn hoe waar "
    "geen of moet jij we ze over tot veel wel zou zal haar onze",
    "sv": "och att det som en på är av för med till den har de inte om ett jag men var sig från "
    "vi så kan när hur eller vad också efter här alla detta mycket mig du han hon där ska "
    "skulle blir",
    "da": "og at det er en til på som med for den der ikke de af et har jeg om var han vi men så "
    "sig kan hvad fra eller hvor meget også blev hun mig efter skal når dette være hvordan "
    "du mit",
    "no": "og det er en til på som med for den av ikke de et har jeg om var han vi men så seg kan "
    "hva fra eller hvor mye også ble hun meg etter skal når dette være hvordan du mitt å "
    "jeg noe",
    "fi": "ja on ei se että hän oli ovat mutta joka kun mitä niin kuin myös olen voi minä tai sen "
    "vain jos mikä ole sitä nyt miten olla hänen tämä joka ne siitä sekä ovat",
    "pl": "i w nie na się że z do to jest o jak co po ale za od czy dla przez tak tym są być może "
    "ma jego które który która oraz było ich tego już tylko jeszcze mnie ze lub gdy był "
    "jestem",
    "cs": "a je v na se že to s z do ne jsem jak ale za pro o co by jako tak po který která které "
    "jsou jeho nebo už být při jen než jsme má může také až podle této",
    "sk": "a je v na sa že to s z do nie som ako ale za pre o čo by tak po ktorý ktorá ktoré sú "
    "jeho alebo už byť pri len než sme má môže tiež až podľa tejto",
    "ro": "și în de la cu nu este că o un pe pentru sunt mai din care ce au se fi prin sau dar "
    "după ca al ale lui acest această fost poate cum ei avea dacă",
    "hu": "a az és hogy nem egy is de van meg csak mint ez volt ha vagy már még ki kell azt mi "
    "lehet ezt el minden nagyon én sem azonban hogyan mert ami aki",
    "tr": "ve bir bu için ile da de ne mi daha gibi çok olarak var ben o ama kadar sonra değil "
    "nasıl her olan şey ya en olduğu veya bunu göre ki",
    "id": "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga saya ke karena adalah "
    "oleh ada bisa kami mereka dapat sudah atau kita lebih telah seperti apa bagaimana",
    "vi": "và của là có trong được không cho một các những người với này đã để khi từ về tôi bạn "
    "như đến cũng ra nhưng vào thì hoặc nhiều làm",
    "ca": "alguns poden tenen aquests jo pot té "
    "el la els les de que i en un una és per amb del no al com més però si són aquest "
    "aquesta seva ha fer sobre també quan molt o dels meu què ser perquè està",
    "hr": "i je u na se da za su od s a koji ne što kao to o iz ili biti koja koje ali sam ako "
    "može samo kako po nije bio bila više",
    "eu": "eta da ez bat du dira izan baina egin ere dute zen hau den zer nola dut duen hori "
    "beste",
}  # fmt: skip

LETTERS: Mapping[str, tuple[str, ...]] = {
    "ß": ("de",), "ä": ("de", "fi", "sv"), "ü": ("de", "tr"), "ñ": ("es",), "¿": ("es",),
    "¡": ("es",), "ã": ("pt",), "õ": ("pt",), "ê": ("fr", "pt"), "è": ("fr", "it", "ca"),
    "à": ("fr", "it", "ca"), "ç": ("fr", "pt", "tr", "ca"), "œ": ("fr",), "û": ("fr",),
    "ł": ("pl",), "ą": ("pl",), "ę": ("pl",), "ő": ("hu",), "ű": ("hu",), "ğ": ("tr",),
    "ı": ("tr",), "ř": ("cs",), "ě": ("cs",), "ů": ("cs",), "ľ": ("sk",), "ț": ("ro",),
    "ș": ("ro",), "ă": ("ro", "vi"), "ø": ("da", "no"), "æ": ("da", "no"), "å": ("sv", "da", "no"),
    "đ": ("vi", "hr"), "ơ": ("vi",), "ư": ("vi",), "ạ": ("vi",), "ế": ("vi",), "ò": ("it", "ca"),
}  # fmt: skip


def _by_word() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for language, words in _LISTS.items():
        for word in dict.fromkeys(words.split()):
            found.setdefault(word, []).append(language)
    return {word: tuple(languages) for word, languages in found.items()}


WORDS: Mapping[str, tuple[str, ...]] = _by_word()

ENGLISH = frozenset(word for word, languages in WORDS.items() if "en" in languages)
ENGLISH_ONLY = frozenset(word for word in ENGLISH if len(WORDS[word]) == 1)
"""Enough of them settle the commonest case at once."""
