"""Phonemes of a text, by espeak-ng's library: the package `espeakng-loader`, called through ctypes.

espeak-ng (GPL-3.0) keeps one state per process and is not safe in threads, so calls take turns.
"""

import ctypes
import importlib
import re
import threading
import unicodedata
from functools import cache
from typing import Any

from actors.errors import StageFailed
from actors.texts.sentences import ABBREVIATED

# speak_lib.h: no sound is played, text is UTF-8, phonemes are IPA, failures do not end the process.
SYNCHRONOUS, UTF8, IPA, DO_NOT_EXIT = 2, 1, 2, 0x8000
# Where a voice breathes: the mark is kept among the phonemes, for voices are trained with it.
CLAUSE_END = re.compile(r"([,;:.!?…])[.!?…]*[\"'”’)\]]*(?=\s|$)")
MARKS = {"…": "."}
# "(en)": espeak says so where it changes the language within a text.
LANGUAGE = re.compile(r"\([a-z-]+\)")


class Espeak:
    """espeak-ng in this process; `espeak()` returns the only one."""

    def __init__(self) -> None:
        try:
            loader = importlib.import_module("espeakng_loader")
        except ModuleNotFoundError:
            raise StageFailed(
                "this voice needs espeak-ng's phonemes:  pip install 'gristmill[embedded]'"
            ) from None
        library = ctypes.CDLL(loader.get_library_path())
        data = str(loader.get_data_path())
        if library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), DO_NOT_EXIT) <= 0:
            raise StageFailed(f"espeak-ng does not open its data in {data}")
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library: Any = library
        self._turn = threading.Lock()

    def phonemes(self, text: str, language: str) -> str:
        """Return the text in IPA, decomposed (NFD), with the marks at the ends of its clauses.

        `language` as espeak-ng names it, such as "en-us". Raises StageFailed for an unknown one.
        """
        said = []
        with self._turn:
            if self._library.espeak_SetVoiceByName(language.encode()):
                raise StageFailed(f"espeak-ng has no language '{language}'")
            for clause, mark in clauses(text.replace("\0", " ")):
                spoken = self._spoken(clause)
                said += [spoken + mark] if spoken else []
        return unicodedata.normalize("NFD", " ".join(said))

    def _spoken(self, clause: str) -> str:
        """Return the phonemes of one clause, which espeak may cut further."""
        buffer = ctypes.create_string_buffer(clause.encode())
        place = ctypes.c_void_p(ctypes.addressof(buffer))
        parts = []
        while place.value:
            parts.append(self._library.espeak_TextToPhonemes(ctypes.byref(place), UTF8, IPA))
        found = " ".join(part.decode().strip() for part in parts if part)
        return LANGUAGE.sub("", found).strip()


@cache
def espeak() -> Espeak:
    """Return this process's espeak-ng. Raises StageFailed when it is not installed."""
    return Espeak()


def clauses(text: str) -> list[tuple[str, str]]:
    """Cut a text where one breathes: (what is said, with its stop; the mark that ends it or "")."""
    found, start = [], 0
    for match in CLAUSE_END.finditer(text):
        if match[1] == "." and ABBREVIATED.search(text[max(0, match.start() - 8) : match.end(1)]):
            continue
        found.append((text[start : match.end()], MARKS.get(match[1], match[1])))
        start = match.end()
    return [*found, (text[start:], "")] if text[start:].strip() else found
