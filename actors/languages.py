<<<<<<< HEAD
"""Languages by the codes that people and models write: "de", "deu", "deu_Latn", "de-AT"."""

from collections.abc import Collection

from actors.errors import nearest

# ISO 639-1 and the ISO 639-2/3 codes that models use for the same language; where ISO has a
# macrolanguage, its usual member stands beside it (Arabic: ara, arb). From the tables of SIL.
_SAME = """
af afr|am amh|ar ara arb|as asm|az aze azj|ba bak|be bel|bg bul|bn ben|bo bod|br bre|bs bos|ca cat|
co cos|cs ces cze|cy cym wel|da dan|de deu ger|el ell gre|en eng|eo epo|es spa|et est ekk|eu eus|
fa fas pes per|ff ful fuv|fi fin|fo fao|fr fra fre|fy fry|ga gle|gd gla|gl glg|gn grn|gu guj|ha hau|
he heb iw|hi hin|hr hrv|ht hat|hu hun|hy hye arm|id ind|ig ibo|is isl ice|it ita|ja jpn|jv jav jw|
ka kat geo|kk kaz|km khm|kn kan|ko kor|ku kur kmr|ky kir|la lat|lb ltz|lg lug|ln lin|lo lao|lt lit|
lv lav lvs|mg mlg plt|mi mri|mk mkd mac|ml mal|mn mon khk|mr mar|ms msa zsm may|mt mlt|my mya bur|
ne nep npi|nl nld dut|nn nno|no nor nob nb|ns nso|ny nya|oc oci|om orm gaz|or ori ory|pa pan|pl pol|
ps pus pbt|pt por|qu que quy|ro ron rum|ru rus|rw kin|sa san|sc srd|sd snd|si sin|sk slk slo|sl slv|
sm smo|sn sna|so som|sq sqi als alb|sr srp|ss ssw|st sot|su sun|sv swe|sw swa swh|ta tam|te tel|
tg tgk|th tha|ti tir|tk tuk|tl tgl fil|tn tsn|tr tur|ts tso|tt tat|ug uig|uk ukr|ur urd|
uz uzb uzn|vi vie|wo wol|xh xho|yi yid ydd|yo yor|zh zho cmn chi|zu zul
"""
KIN = {code: frozenset(group.split()) for group in _SAME.split("|") for code in group.split()}

NAMES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""The names that T5 and its kin are told a language by."""

UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo", "yue"})
"""Languages that write no space between sentences."""

SHOWN = 12  # codes in a message: a line's worth


class UnknownLanguage(ValueError):
    """The model has no such language, or several; the text says what there is."""


def find_code(asked: str, codes: Collection[str]) -> str:
    """Return the model's code for a language; raise UnknownLanguage with the nearest ones.

    The exact code wins; else the language must have one code alone among `codes`, or one alone
    with the region or script that was asked for.
    """
    exact = {_plain(code): code for code in codes}
    if _plain(asked) in exact:
        return exact[_plain(asked)]
    base, *rest = _plain(asked).split("_")
    found = [code for code in codes if is_kin(base, code)]
    exactly = [code for code in found if rest and rest[-1] in _plain(code).split("_")[1:]]
    if len(exactly or found) == 1:
        return (exactly or found)[0]
    if found:
        raise UnknownLanguage(f"'{asked}' may be any of {', '.join(sorted(found))}; write one")
    raise UnknownLanguage(f"no language '{asked}'{nearest(asked, codes)}; there are {_some(codes)}")


def is_kin(one: str, other: str) -> bool:
    """Say whether two codes begin with the same language."""
    base, mate = (_plain(code).split("_")[0] for code in (one, other))
    return mate == base or mate in KIN.get(base, ())


def is_spaced(code: str) -> bool:
    """Say whether the language puts spaces between its sentences."""
    return not any(is_kin(one, code) for one in UNSPACED)


def _plain(code: str) -> str:
    return code.strip().replace("-", "_").lower()


def _some(codes: Collection[str]) -> str:
    shown = sorted(codes)[:SHOWN]
    more = f" and {len(codes) - len(shown)} more" if len(codes) > len(shown) else ""
    return ", ".join(shown) + more
=======
"""Which language is spoken: what a Whisper model says before it writes the first word.

A model of many languages marks the language of a window with its second token, so one step of the
decoder tells how likely each of them is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSpeechSeq2Seq

from actors.errors import StageFailed
from actors.listener import Listener
from actors.stage import Device, Item


class LanguageListener(Listener):
    """A Whisper model that is asked for the language only; its labels are language codes."""

    def __init__(self, folder: Path, device: Device) -> None:
        super().__init__(AutoModelForSpeechSeq2Seq, folder, device)
        tokens = getattr(self.model.generation_config, "lang_to_id", None)
        if not tokens:
            raise StageFailed(
                f"{folder} names no languages (lang_to_id in generation_config.json): it hears"
                " one language only"
            )
        self.tokens = sorted(tokens.values())
        self.codes = {number: mark.strip("<|>") for mark, number in tokens.items()}

    @property
    def labels(self) -> list[str]:
        """Language codes, such as "en", in the order of the model's tokens."""
        return [self.codes[token] for token in self.tokens]

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        """Return how much the decoder's first step wants each language: (items, languages)."""
        inputs = dict(self.inputs(items))
        start = self.model.generation_config.decoder_start_token_id
        shape, where = (len(items), 1), self.device.name
        inputs["decoder_input_ids"] = torch.full(shape, start, dtype=torch.long, device=where)
        with torch.inference_mode():
            logits: Any = self.model(**inputs, use_cache=False).logits[:, -1]
        found: np.ndarray = logits[:, self.tokens].float().cpu().numpy()
        return found
>>>>>>> main
