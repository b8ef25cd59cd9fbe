"""Verbs on tasks and models: demo, tasks, models, train."""

import argparse
from pathlib import Path

from jobs.verbs.verb import Verb, cache_folder, print_json, takes_file, takes_json


def _takes_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("gristmill-demo"), metavar="DIR"
    )
    takes_json(parser)


def _takes_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", nargs="?", metavar="TASK", help="one task, in full")
    takes_json(parser)


def _takes_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="embedded models; default: all")


def _takes_training(parser: argparse.ArgumentParser) -> None:
    takes_file(parser, "a training file (YAML)")
    parser.add_argument("--fresh", action="store_true", help="replace the model that is there")


def _demo(args: argparse.Namespace) -> int:
    from jobs.demo.demo import demo

    result = demo(args.folder, cache_folder())
    if args.json:
        print_json(result)
    return 0


def _tasks(args: argparse.Namespace) -> int:
    from jobs.tasks import describe, listing, print_listing, print_task

    if args.task is None:
        tasks = listing()
        print_json(tasks) if args.json else print_listing(tasks)
    else:
        task = describe(args.task)
        print_json(task) if args.json else print_task(task)
    return 0


def _models(args: argparse.Namespace) -> int:
    from actors.models.embedded import EMBEDDED, prepare_all

    prepare_all(args.names or list(EMBEDDED), cache_folder(), lambda line: print(line, flush=True))
    return 0


def _train(args: argparse.Namespace) -> int:
    from jobs.training.train import load, print_report, train

    training = load(args.file, args.set)
    report = train(training, args.file, cache_folder(), args.fresh)
    print_report(report)
    if args.json:
        print_json(report)
    return 0


DEMO = Verb(
    "demo",
    "make sample documents, read and annotate them, and say what to do next",
    "gristmill demo",
    _takes_folder,
    _demo,
)
TASKS = Verb(
    "tasks",
    "list the tasks, or explain one with a pipeline to copy",
    "gristmill tasks ner",
    _takes_task,
    _tasks,
)
MODELS = Verb(
    "models",
    "prepare embedded models on this machine ahead of time",
    "gristmill models all-minilm-l6-v2",
    _takes_models,
    _models,
)
TRAIN = Verb(
    "train",
    "train a model on a table or on good pictures, to be used as a stage",
    "gristmill train churn.yaml",
    _takes_training,
    _train,
)
