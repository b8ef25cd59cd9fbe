"""What the command line says when the command or the file is wrong: whole messages, exit code 2."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.errors import UsageError
from actors.stage import ModelFiles
from jobs.cli import main
from jobs.prepare import prepare
from pipelines.file import Pipeline, load, parse
from pipelines.pools import sizes
from pipelines.sources import KINDS
from tests.tiny import text

ECHO = "tests.stages.echo:Echo"
AT = f"p.yaml, stage 1 ({ECHO})"
TOP = ", ".join(Pipeline.model_fields)
FILES = "path, extensions, partitions, partition_types, schema, settle"
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with one source file, which the command is given in."""
    (tmp_path / "texts.jsonl").write_text('{"text": "a", "n": 1}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Give a command that must be refused; returns what it says after "error: "."""

    def refused(*words: str) -> str:
        capsys.readouterr()
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err.removeprefix("error: ").removesuffix("\n")

    return refused


def pipeline(**change: Any) -> str:
    """Write p.yaml, a pipeline that is right but for the change; None leaves a key out."""
    data = {
        "name": "try",
        "source": {"kind": "jsonl", "path": "texts.jsonl"},
        "stages": [{"task": ECHO}],
        "sink": {"kind": "parquet", "path": "out/try"},
        **change,
    }
    kept = {key: value for key, value in data.items() if value is not None}
    Path("p.yaml").write_text(json.dumps(kept))
    return "p.yaml"


def echo(**change: Any) -> dict[str, Any]:
    """Pipeline change: the Echo stage with more keys."""
    return {"stages": [{"task": ECHO, **change}]}


KEYS = {
    "top": (
        {"sorce": 1},
        f"p.yaml: unknown key 'sorce' (did you mean 'source'?).\n  keys here: {TOP}",
    ),
    "stage": (
        echo(otput={}),
        f"{AT}: unknown key 'otput' (did you mean 'output'?).\n  keys here: task, model, revision, "
        "input, output, options, pool, resources, batch, precision",
    ),
    "source": (
        {"source": {"kind": "text", "path": "x", "row": "line"}},
        "p.yaml, source: unknown key 'row' (did you mean 'rows'?).\n"
        f"  keys here: {FILES}, kind, rows, encoding, max_bytes",
    ),
    "pool": (
        echo(pool={"mn": 1}),
        f"{AT}, pool: unknown key 'mn' (did you mean 'min'?).\n  keys here: min, max",
    ),
    "option": (
        echo(options={"sufix": "x"}),
        f"{AT}, options: unknown option 'sufix' (did you mean 'suffix'?).\n"
        f"  options of {ECHO}: seconds, room, suffix",
    ),
}


@pytest.mark.parametrize("place_of_key", KEYS)
def test_an_unknown_key_is_refused_with_the_nearest_one(
    place_of_key: str, refused: Refused
) -> None:
    change, message = KEYS[place_of_key]
    assert refused("plan", pipeline(**change)) == message


MISSING = {
    "name": "p.yaml: 'name' is missing.\n  add:  name: documents",
    "source": "p.yaml: 'source' is missing.\n  add:  source: {kind: images, path: FOLDER}",
    "stages": "p.yaml: 'stages' is missing.\n  add:  stages: [{task: ocr}]",
    "sink": "p.yaml: 'sink' is missing.\n  add:  sink: {kind: parquet, path: NEW_FOLDER}",
}


@pytest.mark.parametrize("key", MISSING)
def test_a_missing_key_is_named_with_what_to_type(key: str, refused: Refused) -> None:
    assert refused("plan", pipeline(**{key: None})) == MISSING[key]


VALUES: list[tuple[dict[str, Any], str]] = [
    (
        echo(options={"seconds": -1}),
        f"{AT}, options: 'seconds' should be greater than or equal to 0, not -1.",
    ),
    (echo(options={"suffix": 1}), f"{AT}, options: 'suffix' should be text, not 1."),
    (echo(pool={"min": "two"}), f"{AT}, pool: 'min' should be a whole number, not 'two'."),
    (echo(pool={"min": 3, "max": 2}), f"{AT}: 'pool' has min 3, more than max 2."),
    (echo(input={"text": 3}), f"{AT}, input: 'text' should be text, not 3."),
    (
        {"models": "embeded"},
        "p.yaml: 'models' should be 'hub' or 'embedded', not 'embeded' (did you mean 'embedded'?).",
    ),
    ({"sink": "out"}, "p.yaml: 'sink' should be a mapping, not 'out'."),
    (
        {"sink": {"kind": "kafka", "path": "x"}},
        "p.yaml, sink: there is no sink kind 'kafka'; kinds: parquet, delta, iceberg.",
    ),
    (
        {"source": {"kind": "jsonl", "path": 5}},
        "p.yaml, source: 'path' should be text, not 5.\n"
        "p.yaml, source: 'path' should be a list, not 5.",
    ),
    ({"keep": "text"}, "p.yaml: 'keep' should be a list, not 'text'."),
    (
        {"errors": {"max_rejected": 5}},
        "p.yaml, errors: 'max_rejected' should be less than or equal to 1, not 5.",
    ),
    (
        {"stages": ["ner"]},
        "p.yaml, stage 1 should be a mapping, not 'ner'.\n  such as:  - task: ocr",
    ),
    ({"stages": []}, "p.yaml: 'stages' is empty.\n  add:  stages: [{task: ocr}]"),
    (
        {"name": "a b"},
        "p.yaml: 'name' should be letters, digits and . _ - only, a letter or digit first, "
        "not 'a b'.",
    ),
]


@pytest.mark.parametrize(("change", "message"), VALUES)
def test_a_wrong_value_is_refused_with_what_was_expected(
    change: dict[str, Any], message: str, refused: Refused
) -> None:
    assert refused("plan", pipeline(**change)) == message


def test_all_mistakes_of_a_file_are_told_at_once(refused: Refused) -> None:
    said = refused("plan", pipeline(**echo(pool={"min": 0}), models="none", sink=None))
    assert said.splitlines() == [
        f"{AT}, pool: 'min' should be greater than or equal to 1, not 0.",
        "p.yaml: 'models' should be 'hub' or 'embedded', not 'none'.",
        "p.yaml: 'sink' is missing.",
        "  add:  sink: {kind: parquet, path: NEW_FOLDER}",
    ]


SOURCES = {
    "lance": "the source kind 'lance' is not there yet",
    "json": "there is no source kind 'json' (did you mean 'jsonl'?)",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_kind_of_source_that_is_not_there_is_refused(kind: str, refused: Refused) -> None:
    said = refused("plan", pipeline(source={"kind": kind, "path": "x"}))
    assert said == f"p.yaml, source: {SOURCES[kind]}; kinds: {', '.join(KINDS)}."


def test_a_source_that_is_not_there_is_told_with_its_neighbours(
    refused: Refused, place: Path
) -> None:
    assert refused("plan", pipeline(source={"kind": "jsonl", "path": "text.jsonl"})) == (
        f"p.yaml: source path 'text.jsonl' is not there (looked for {place}/text.jsonl)\n"
        f"  {place} has: p.yaml, texts.jsonl (did you mean 'texts.jsonl'?)"
    )


def test_an_unknown_task_is_refused_with_those_there_are(refused: Refused) -> None:
    said = refused("plan", pipeline(stages=[{"task": "sumarization"}])).splitlines()
    assert said[0] == (
        "p.yaml, stage 1 (sumarization): there is no task 'sumarization' "
        "(did you mean 'summarization'?)"
    )
    assert refused("tasks", "sumarization").splitlines()[1:] == said[1:]


def test_a_column_that_nothing_makes_is_refused_with_those_that_flow(refused: Refused) -> None:
    assert refused("plan", pipeline(**echo(input={"text": "body"}))) == (
        f"{AT} reads column 'body', which nothing before it makes.\n"
        "  columns here: text (source), n (source)\n"
        "  if one of them is meant, add to the stage:  input: {text: text}"
    )


def test_a_column_of_another_type_is_refused_with_one_that_fits(refused: Refused) -> None:
    assert refused("plan", pipeline(**echo(input={"text": "n"}))) == (
        f"{AT} reads column 'n' as string, and it is int64.\n"
        "  columns here: text (source), n (source)\n"
        "  to read another column, add to the stage:  input: {text: text}"
    )


def test_two_stages_that_write_one_column_are_refused(refused: Refused) -> None:
    assert refused("plan", pipeline(stages=[{"task": ECHO}, {"task": ECHO}])) == (
        f"p.yaml, stage 2 ({ECHO}) writes columns 'upper', 'score', which {ECHO} made already.\n"
        "  give them other names:  output: {upper: upper_2, score: score_2}"
    )


def test_an_unknown_column_to_keep_is_refused(refused: Refused) -> None:
    assert refused("plan", pipeline(keep=["text", "uper"])) == (
        "p.yaml, keep: there is no column 'uper' (did you mean 'upper'?).\n"
        f"  columns: text (source), n (source), upper ({ECHO}), score ({ECHO})"
    )


def test_an_unknown_embedded_model_is_refused(refused: Refused) -> None:
    stage = {"task": "ner", "model": "embedded:en-core-web-smm"}
    assert refused("plan", pipeline(stages=[stage])).splitlines()[0] == (
        "p.yaml, stage 1 (ner): there is no embedded model 'en-core-web-smm' "
        "(did you mean 'en-core-web-sm'?)"
    )


def test_a_model_that_cannot_do_the_task_is_refused(
    refused: Refused, tiny: Callable[..., ModelFiles]
) -> None:
    model = str(tiny(text.bert_encoder).folder)
    assert refused("plan", pipeline(stages=[{"task": "ner", "model": model}])) == (
        f"p.yaml, stage 1 (ner): model '{model}': ner needs a ...ForTokenClassification model, "
        "a spaCy pipeline or a GLiNER model, but the model's config.json names BertModel (bert)"
    )


def test_a_file_that_is_not_there_is_told_with_the_nearest(refused: Refused) -> None:
    pipeline()
    assert refused("run", "q.yaml") == (
        "q.yaml: there is no such file (did you mean 'p.yaml'?).\n  pipeline files in .: p.yaml"
    )
    assert refused("run", ".") == ".: this is a folder.\n  pipeline files in .: p.yaml"


NO_MAPPING = (
    "a pipeline file is a mapping with name, source, stages and sink; this is {}.\n"
    "  a whole one to copy:  gristmill tasks TASK"
)
FILES = {
    "name: [a\nb: c": "not valid YAML: line 2: expected ',' or ']', but got ':'",
    "a: {b: why?}": "not valid YAML: line 1: expected ',' or '}', but got '?': quote it",
    "name: a\nname: b": "not valid YAML: line 2: 'name' stands in line 1 already",
    "a: &x 1\nb: *x": "not valid YAML: line 2: aliases (*name) are not allowed; write it out",
    "a: 2026-99-99": "not valid YAML: month must be in 1..12",
    "- a": NO_MAPPING.format("a list"),
    "": NO_MAPPING.format("empty"),
    "[" * 5000: "not valid YAML: it is nested too deeply",
    "a: !!python/name:os.abort x": "not valid YAML: line 1: could not determine a constructor "
    "for the tag 'tag:yaml.org,2002:python/name:os.abort'",
}


@pytest.mark.parametrize("content", FILES)
def test_a_file_that_is_no_pipeline_is_refused(content: str, refused: Refused) -> None:
    Path("p.yaml").write_text(content)
    assert refused("plan", "p.yaml") == f"p.yaml: {FILES[content]}"


SETTINGS = {
    "stages.7.task=ner": "'stages' has no entry 7; it has 1, counted from 0.",
    "stages.x.task=ner": "'stages' has no entry x; it has 1, counted from 0.",
    "name.first=x": "'name' is 'try', so nothing stands below it.",
    "keep=[a": "the value is not YAML: line 1: expected ',' or ']', but got '<stream end>'",
    "keep": "this is no PLACE=VALUE\n  write, for example:  --set stages.0.options.top_k=3",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_fits_nowhere_is_refused(setting: str, refused: Refused) -> None:
    said = refused("plan", pipeline(), "--set", setting)
    assert said == f"--set {setting}: {SETTINGS[setting]}"


def test_a_setting_is_checked_like_the_file(refused: Refused) -> None:
    assert refused("plan", pipeline(), "--set", "sinc.path=x") == (
        f"p.yaml: unknown key 'sinc' (did you mean 'sink'?).\n  keys here: {TOP}"
    )


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_folder_with_other_files_is_no_sink(verb: str, refused: Refused, place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "thesis.txt").write_text("years of work")
    assert refused(verb, pipeline(sink={"path": "mine"})) == (
        f"{place}/mine holds files that gristmill did not write: thesis.txt.\n"
        "  give the sink a folder of its own:  sink: {kind: parquet, path: NEW_FOLDER}"
    )


def test_show_names_the_outputs_near_a_folder_that_is_none(refused: Refused, place: Path) -> None:
    (place / "out" / "real" / "_gristmill").mkdir(parents=True)
    assert refused("show", "out") == (
        "out is no output of gristmill: it has no folder _gristmill.\n"
        "  name the folder that stands in the pipeline file under  sink: path:\n"
        f"  outputs near it: {place}/out/real"
    )


COMMANDS = {
    "pln p.yaml": "there is no verb 'pln' (did you mean 'plan'?)",
    "run p.yaml --retry-reject-rows": "there is no flag --retry-reject-rows "
    "(did you mean '--retry-rejects'?)",
    "run p.yaml --limit 0": "argument --limit: should be a whole number, 1 or more (got '0')",
    "plan": "the following arguments are required: FILE",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(command.split())
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    assert said.err.splitlines()[-1] == f"error: {COMMANDS[command]}"


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            {"resources": {"gpus": 1}},
            "this plan needs 1 gpus, and there are 0.\n"
            f"  asked for: stage 1 ({ECHO}) 1 x 1\n"
            "  lower  resources: {gpus: ...}  or  pool: {min: ...}, "
            "or run it on a larger machine or cluster",
        ),
        (
            {"resources": {"cpus": 2}, "pool": {"min": 2}},
            "this plan needs 4.03 cpus, and there are 4.\n"
            f"  asked for: stage 1 ({ECHO}) 2 x 2; reading and writing 0.03\n"
            "  lower  resources: {cpus: ...}  or  pool: {min: ...}, "
            "or run it on a larger machine or cluster",
        ),
    ],
)
def test_a_plan_that_cannot_be_scheduled_is_refused(
    stage: dict[str, Any], message: str, place: Path
) -> None:
    plan = prepare(load(Path(pipeline(**echo(**stage)))), "p.yaml", place, place / "cache").plan
    with pytest.raises(UsageError) as caught:
        sizes(plan, cpus=4, gpus=0, speed={})
    assert str(caught.value) == message


def test_a_task_without_a_default_names_the_embedded_models_it_could_have(refused: Refused) -> None:
    said = refused("plan", pipeline(stages=[{"task": "keyword-spotting"}], models="embedded"))
    assert said.splitlines() == [
        "p.yaml, stage 1 (keyword-spotting): "
        "keyword-spotting has no default model in this profile.",
        "  name one:  model: org/name  or  model: ./folder",
        "  embedded:  model: embedded:openwakeword  (CC-BY-NC-SA-4.0)",
    ]


def test_a_plan_is_told_as_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", pipeline(), "--json", "--set", "sink.path=elsewhere"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["new"], report["done"], report["output"]) == (1, 0, f"{place}/elsewhere")
    assert report["columns"] == {
        "_source": "string", "_row": "int64", "upper": "string", "score": "float"
    }  # fmt: skip


def test_the_example_of_every_task_is_a_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json"]) == 0
    tasks = [task["task"] for task in json.loads(capsys.readouterr().out)]
    for task in tasks:
        assert main(["tasks", task, "--json"]) == 0
        example = json.loads(capsys.readouterr().out)["example"]
        assert parse(yaml.safe_load(example), "example").stages[0].task == task
