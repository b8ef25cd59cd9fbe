"""Emotions: the words for them, however a model writes its labels."""

from collections.abc import Mapping

WORDS = {
    **dict.fromkeys(("ang", "angry"), "anger"),
    **dict.fromkeys(("bor", "bored"), "boredom"),
    **dict.fromkeys(("cal",), "calm"),
    **dict.fromkeys(("con", "cont"), "contempt"),
    **dict.fromkeys(("dis", "disgusted"), "disgust"),
    **dict.fromkeys(("exc", "excited"), "excitement"),
    **dict.fromkeys(("fea", "fear", "fearful", "afraid"), "fear"),
    **dict.fromkeys(("fru", "frustrated"), "frustration"),
    **dict.fromkeys(("hap", "happy", "joy"), "happiness"),
    **dict.fromkeys(("neu",), "neutral"),
    **dict.fromkeys(("sad",), "sadness"),
    **dict.fromkeys(("sur", "surprised"), "surprise"),
}
"""How IEMOCAP, RAVDESS, Emo-DB and their like write emotions -> the word for each."""

SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""Ekman's six basic emotions and none: what models of text, voice and face have in common."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "anger": ("annoyance", "disapproval", "frustration"),
    "disgust": ("contempt",),
    "fear": ("nervousness",),
    "happiness": (
        *("admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude"),
        *("love", "optimism", "pride", "relief"),
    ),
    "neutral": ("calm",),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse"),
    "surprise": ("confusion", "curiosity", "realization"),
}
"""Finer emotions -> which of the seven they count as; those of GoEmotions as its authors group them
(Demszky et al. 2020, arxiv.org/abs/2005.00547)."""

_SEVEN_OF = {fine: basic for basic, group in GROUPS.items() for fine in (basic, *group)}


def word_of(label: str) -> str:
    """Return the word for a label: of a usual code, else the label itself."""
    plain = label.strip().lower()
    return WORDS.get(plain, plain if plain in WORDS.values() else label)


def seven_of(label: str) -> str | None:
    """Return which of the seven a model's label counts as, or None."""
    return _SEVEN_OF.get(word_of(label).strip().lower())
