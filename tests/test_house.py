"""What the papers say is so, and what the house asks of its code holds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from jobs.cli import VERBS
from jobs.training.train import load as load_training
from pipelines.file import load, parse, read

ROOT = Path(__file__).parent.parent
PACKAGES = ("actors", "pipelines", "jobs")
CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = tuple(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").glob("*.md")))
PAPERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES)
RECIPES = sorted((ROOT / "pipelines" / "recipes").glob("*.yaml"))
HEAVY = {"torch", "ray", "transformers", "pyarrow"}


def paper(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a paper in one language, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", paper(name), re.DOTALL | re.MULTILINE)
    return [block for written, block in found if written == language]


@pytest.mark.parametrize("name", PAPERS)
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", paper(name))
    files = [link.partition("#")[0] for link in links if "://" not in link]
    assert [file for file in files if not (ROOT / name).parent.joinpath(file).is_file()] == []


def test_the_readme_names_every_page() -> None:
    assert [page for page in PAGES if f"]({page})" not in paper("README.md")] == []


def test_a_row_passes_five_stops() -> None:
    stops = re.findall(r"^(\d)\. \[(.+?)\]\((.+?)\)", paper("README.md"), re.MULTILINE)
    assert [int(number) for number, _, _ in stops] == [1, 2, 3, 4, 5]
    assert all(shown == link and (ROOT / link).is_file() for _, shown, link in stops)


def test_the_folders_of_the_readme_are_there_and_all_of_them() -> None:
    (tree,) = (block for block in blocks("README.md", "") if block.startswith("jobs/"))
    parent, named = "", set()
    for line in tree.splitlines():
        names = re.findall(r"(\w+)/ ", line[:15])
        parent = parent if line.startswith(" ") else ""
        named |= {parent + name for name in names}
        parent = parent or f"{names[0]}/"
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    assert set(PACKAGES) | {"actors/nlp", "actors/vision", "pipelines/sources"} <= named


def test_the_readme_names_only_commands_that_are_there() -> None:
    words = r"^ {4}gristmill (\w+)|`gristmill (\w+)"
    named = [pair for name in PAPERS for pair in re.findall(words, paper(name), re.MULTILINE)]
    targets = re.findall(r"^ {4}make (\w+)", paper("README.md"), re.MULTILINE)
    made = re.findall(r"^(\w+):", paper("Makefile"), re.MULTILINE)
    assert (
        {"plan", "run", "show", "tasks"}
        <= {"".join(pair) for pair in named}
        <= {verb.name for verb in VERBS}
    )
    assert set(targets) == {"demo", "test"} and set(targets) <= set(made)


def test_the_readme_s_pipeline_is_one() -> None:
    block, _ = blocks("README.md", "yaml")
    pipeline = parse(yaml.safe_load(block), "README.md")
    assert [stage.task for stage in pipeline.stages] == ["ocr", "ner", "summarization"]


def test_the_readme_s_training_is_one(tmp_path: Path) -> None:
    _, block = blocks("README.md", "yaml")
    (tmp_path / "churn.yaml").write_text(block)
    training = load_training(tmp_path / "churn.yaml")
    assert (training.target, training.model) == ("churned", "gradient-boosting")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_is_a_pipeline_or_a_training(path: Path) -> None:
    if "task" in read(path):
        assert load_training(path).output.startswith("models/")
    else:
        assert load(path).name == path.stem


def test_the_readme_s_table_of_recipes_has_all_of_them() -> None:
    named = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| .+ \|$", paper("README.md"), re.MULTILINE)
    assert named == [(path.name, path.relative_to(ROOT).as_posix()) for path in RECIPES]


def test_a_cluster_can_be_launched_as_described() -> None:
    config = yaml.safe_load(paper("cluster.yaml"))
    validate_config(prepare_config(config))
    groups = config["available_node_types"]
    workers = [group for name, group in groups.items() if name != config["head_node_type"]]
    assert sum(group["max_workers"] for group in workers) == config["max_workers"]
    assert groups[config["head_node_type"]]["resources"] == {"CPU": 0}


def test_the_cluster_s_ray_and_python_are_those_of_the_tests() -> None:
    image = yaml.safe_load(paper("cluster.yaml"))["docker"]["image"]
    (ray,) = re.findall(r"^ray==(.+)$", paper("constraints.txt"), re.MULTILINE)
    assert image.startswith(f"rayproject/ray:{ray}-py311-")


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "jobs.cli", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    imported = {name.partition(".")[0] for name in modules}
    assert "argparse" in imported
    assert imported & HEAVY == set()


def test_the_guide_shows_files_as_they_are() -> None:
    task, *parts = blocks("CONTRIBUTING.md", "python")
    assert task == paper("actors/nlp/fill_mask.py")
    assert len(parts) == 2 and all(part in paper("tests/tiny/pairs.py") for part in parts)


def test_only_one_place_catches_whatever_may_come() -> None:
    broad = [p.name for p in CODE for line in p.read_text("utf-8").splitlines() if "BLE001" in line]
    assert broad == ["guard.py"]


def test_no_file_is_longer_than_a_file_should_be() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in [*CODE, *TESTS]}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_the_environment_is_read_in_jobs_alone() -> None:
    reading = re.compile(r"environ(\.get\b|\[)|getenv")  # not: passing it on to a process
    readers = [p for p in CODE if reading.search(p.read_text("utf-8"))]
    assert [p.relative_to(ROOT).as_posix() for p in readers if "jobs" not in p.parts] == []
