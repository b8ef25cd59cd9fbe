"""Makes the small schemas beside this file from the whole ones; what is left out is refused.

    python -m tests.schemas.shrink SCHEMA NAME

SCHEMA is a CRD of KubeRay (helm-chart/kuberay-operator/crds/*.yaml, here of v1.7.0) or a strict
JSON schema of Kubernetes (here of v1.34.0, with its $refs beside it). Both are under Apache-2.0.
Texts are dropped; of a pod, a container and a volume only what manifests here may use is kept, and
every object refuses keys that its schema does not name, as a strict server does.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent

KEPT = {
    "containers": {
        "name", "image", "command", "args", "env", "envFrom", "resources", "volumeMounts",
        "workingDir", "imagePullPolicy", "ports",
    },
    "volumes": {"name", "configMap", "persistentVolumeClaim", "secret"},
    "pod": {
        "containers", "volumes", "restartPolicy", "serviceAccountName", "nodeSelector",
        "tolerations", "terminationGracePeriodSeconds",
    },
}  # fmt: skip
"""Keys that are kept of each."""

WORDS = ("description", "x-kubernetes-group-version-kind", "$schema")


def shrink(schema: Any, folder: Path, key: str = "") -> Any:
    """The schema without texts and without what is not kept; references are put in place."""
    if isinstance(schema, list):
        return [shrink(each, folder, key) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        file, _, place = schema["$ref"].partition("#")
        found = json.loads((folder / (Path(file).name or "_definitions.json")).read_text())
        for step in place.split("/")[1:]:
            found = found[step]
        return shrink(found, folder, key)
    kept = {k: v for k, v in schema.items() if k not in WORDS or not isinstance(v, str | list)}
    if "properties" in kept:
        names = _names(set(kept["properties"]), key)
        kept["properties"] = {n: shrink(kept["properties"][n], folder, n) for n in sorted(names)}
        kept["additionalProperties"] = False
        kept["required"] = [n for n in kept.get("required") or () if n in names]
        return {k: kept[k] for k in kept if k != "required" or kept[k]}
    return {k: shrink(v, folder, key) for k, v in kept.items()}


def _names(there: set[str], key: str) -> set[str]:
    """The properties to keep of an object that stands under `key`."""
    if key == "spec" and "containers" in there:
        return there & KEPT["pod"]
    return there & KEPT[key] if key in KEPT else there


def main(source: Path, name: str) -> None:
    """Write one small schema."""
    whole = yaml.safe_load(source.read_text())
    if whole.get("kind") == "CustomResourceDefinition":
        (version,) = (v for v in whole["spec"]["versions"] if v["name"] == "v1")
        whole = version["schema"]["openAPIV3Schema"]
    small = shrink(whole, source.parent)
    for part in ("status", "metadata"):
        small["properties"][part] = {"type": "object"}
    (HERE / f"{name}.json").write_text(json.dumps(small, separators=(",", ":"), sort_keys=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
