"""Daft: a class UDF on batches, one instance, on its own native runner."""

from typing import Any

import daft
from daft import DataType, col

from benchmarks.contenders.common import Classifier, Task, main

ANSWER = DataType.struct({"label": DataType.string(), "score": DataType.float32()})


def make_udf(task: Task) -> Any:
    @daft.cls(max_concurrency=1)
    class Classify:
        def __init__(self) -> None:
            self._classifier = Classifier(task)

        @daft.method.batch(return_dtype=ANSWER, batch_size=task.batch)  # type: ignore[untyped-decorator]
        def texts(self, texts: Any) -> Any:
            return self._classifier.texts(texts.to_pylist())

        @daft.method.batch(return_dtype=ANSWER, batch_size=task.batch)  # type: ignore[untyped-decorator]
        def images(self, images: Any) -> Any:
            return self._classifier.images(images.to_pylist())

    return Classify()


def run(task: Task) -> None:
    daft.set_runner_native()
    classify = make_udf(task)
    if task.kind == "text":
        rows = daft.read_parquet(str(task.corpus))
        found = rows.select(col("id"), classify.texts(col("text")).alias("answer"))
    else:
        files = daft.from_glob_path(f"{task.corpus}/*.jpg")
        image = daft.functions.decode_image(daft.functions.download(col("path")))
        found = files.select(col("path").alias("id"), classify.images(image).alias("answer"))
    answer = col("answer")
    found = found.select(
        col("id"),
        answer.get("label").alias("label"),
        answer.get("score").alias("score"),
    )
    found.write_parquet(str(task.out))


if __name__ == "__main__":
    main(run)
