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
