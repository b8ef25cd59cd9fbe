"""Tiny models of tables: trained in a fraction of a second on sixty made rows."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.tables.training import Report, Settings, train
from tests.tiny.case import Case, Row

CITIES = ["Paris", "Oslo", "Lima", "Rome"]


def people(count: int = 60, seed: int = 0) -> list[Row]:
    """Rows with numbers, categories, booleans and gaps, and two targets that they decide."""
    dice = random.Random(seed)
    found = []
    for number in range(count):
        age, city, member = dice.randint(18, 80), dice.choice(CITIES), dice.random() < 0.5
        income = None if number % 7 == 0 else dice.lognormvariate(10, 1)
        churn = "leaves" if (age > 45) != (city == "Oslo") else "stays"
        found.append(
            {
                "age": age,
                "city": None if number % 11 == 0 else city,
                "income": income,
                "member": None if number % 13 == 0 else member,
                "churn": churn,
                "spent": 2.0 * age + 30 * (city == "Lima") + 5 * member,
            }
        )
    return found


FEATURES = ("age", "city", "income", "member")


def trained(folder: Path, goal: str = "classification", rows: int = 60, **settings: Any) -> Report:
    """Train on `people` into the folder."""
    target = "churn" if goal == "classification" else "spent"
    asked: Any = {"features": dict.fromkeys(FEATURES), "target": target, **settings}
    found = train(pa.Table.from_pylist(people(rows)), Settings(goal, **asked))
    found.save(folder)
    return found.report


def classifier(folder: Path) -> None:
    """Gradient boosting, which classifies."""
    trained(folder)


def regressor(folder: Path) -> None:
    """A ridge regression."""
    trained(folder, "regression", model="linear")


def inputs(rows: list[Row]) -> list[Row]:
    """The features alone."""
    return [{name: row[name] for name in FEATURES} for row in rows]


GAPS: list[Row] = [
    {"age": 33, "city": "Atlantis", "income": 20_000.0, "member": True},
    dict.fromkeys(FEATURES),
    {"age": float("nan"), "city": "Oslo", "income": -1.0, "member": False},
]
GOOD = [*inputs(people(8, seed=1)), *GAPS]
BAD: dict[str, Row] = {
    "not_finite": {"age": 33, "city": "Oslo", "income": float("inf"), "member": None},
    "wrong_type": {"age": "33", "city": "Oslo", "income": 1.0, "member": None},
}

CASES = {
    "tabular-classification": Case(classifier, GOOD, BAD),
    "tabular-regression": Case(regressor, GOOD, BAD),
}
