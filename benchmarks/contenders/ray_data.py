"""Plain Ray Data as its documentation shows it: a pool of one actor, batches padded."""

from typing import Any

import numpy as np
import ray

from benchmarks.contenders.common import Classifier, Task, main


class Actor:
    """Answers Ray's batches: column -> array."""

    def __init__(self, task: Task) -> None:
        self._task, self._classifier = task, Classifier(task)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        is_text = self._task.kind == "text"
        found = (
            self._classifier.texts(batch["text"].tolist())
            if is_text
            else self._classifier.images(list(batch["image"]))
        )
        keys = batch["id"] if is_text else batch["path"]
        return {
            "id": keys,
            "label": np.array([answer["label"] for answer in found]),
            "score": np.array([answer["score"] for answer in found], np.float32),
        }


def run(task: Task) -> None:
    ray.init(include_dashboard=False, log_to_driver=False)
    rows = (
        ray.data.read_parquet(str(task.corpus))
        if task.kind == "text"
        else ray.data.read_images(str(task.corpus), mode="RGB", include_paths=True)
    )
    rows.map_batches(
        Actor,
        fn_constructor_args=(task,),
        batch_size=task.batch,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=1),
    ).write_parquet(str(task.out))


if __name__ == "__main__":
    main(run)
