"""How right the demo was: character error rate of the text, F1 of the entities."""

from collections.abc import Iterable

from rapidfuzz.distance import Levenshtein


def character_error_rate(truth: str, read: str) -> float:
    """Return edits per character of the truth; any run of white space counts as one space.

    0.0 is perfect; more than 1.0 is possible when much is read that is not there.
    """
    wanted, got = " ".join(truth.split()), " ".join(read.split())
    if not wanted:
        return 0.0 if not got else 1.0
    return Levenshtein.distance(wanted, got) / len(wanted)


def entity_f1(truth: Iterable[tuple[str, str]], found: Iterable[tuple[str, str]]) -> float:
    """Return the F1 of two sets of (text, label), 0..1.

    Case, white space and a leading "the" do not count. Labels that the truth never uses are left
    out: it does not say where those are.
    """
    wanted = {(_plain(text), label) for text, label in truth}
    labels = {label for _, label in wanted}
    got = {(_plain(text), label) for text, label in found if label in labels}
    if not wanted and not got:
        return 1.0
    return 2 * len(wanted & got) / (len(wanted) + len(got))


def _plain(text: str) -> str:
    """One space for any white space, lower case, no article: annotators differ in these."""
    return " ".join(text.split()).lower().removeprefix("the ")
