"""The demo's documents are the same everywhere, and the truth about them is true."""

import json
from pathlib import Path

from PIL import Image

from jobs.demo.documents import make_documents
from jobs.demo.texts import STORIES
from jobs.quality import character_error_rate, entity_f1


def test_equal_seeds_make_equal_files(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        make_documents(tmp_path / folder)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("one", "two"))
    assert one == two and len(one) == 13


def test_another_seed_makes_other_scans_of_the_same_pages(tmp_path: Path) -> None:
    assert make_documents(tmp_path / "one") == make_documents(tmp_path / "two", seed=1)
    scans = [(tmp_path / f / "news_scan.jpg").read_bytes() for f in ("one", "two")]
    assert scans[0] != scans[1]


def test_the_truth_beside_the_pages_names_every_file(tmp_path: Path) -> None:
    documents = make_documents(tmp_path)
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [line["file"] for line in truth] == [document.file for document in documents]
    assert {line["file"] for line in truth} == {p.name for p in tmp_path.glob("*_scan.jpg")} | {
        p.name for p in tmp_path.glob("*.png")
    }
    assert [line["degraded"] for line in truth] == [False, True] * len(STORIES)


def test_every_entity_stands_in_its_text(tmp_path: Path) -> None:
    for document in make_documents(tmp_path):
        plain = " ".join(document.text.split()).lower()
        assert [e for e in document.entities if e[0].lower() not in plain] == []


def test_no_text_runs_over_the_edge_of_its_page(tmp_path: Path) -> None:
    make_documents(tmp_path)
    for page in tmp_path.glob("*.png"):
        image = Image.open(page)
        edge = image.crop((image.width - 60, 0, image.width, image.height))
        foot = image.crop((0, image.height - 60, image.width, image.height))
        assert edge.getextrema() == foot.getextrema() == (255, 255), page.name


def test_only_ascii_is_set_since_the_font_has_little_more() -> None:
    for story in STORIES:
        assert (story.title + "".join(story.blocks)).isascii()


def test_the_character_error_rate_counts_edits_and_not_line_breaks() -> None:
    assert character_error_rate("one two\nthree", "one  two three") == 0.0
    assert character_error_rate("abcd", "abxd") == 0.25
    assert character_error_rate("", "") == 0.0
    assert character_error_rate("", "x") == 1.0


def test_f1_counts_pairs_and_leaves_out_labels_that_the_truth_does_not_use() -> None:
    truth = [("Ada", "PERSON"), ("Paris", "GPE"), ("May", "DATE")]
    found = [("Ada", "PERSON"), ("Paris", "ORG"), ("May", "DATE"), ("three", "CARDINAL")]
    assert entity_f1(truth, truth) == 1.0
    assert entity_f1(truth, found) == 2 * 2 / (3 + 2)
    assert entity_f1([], []) == 1.0


def test_f1_forgives_case_line_breaks_and_the_article() -> None:
    assert entity_f1([("the Rainier Trust", "ORG")], [("The Rainier\nTrust", "ORG")]) == 1.0
