"""Settings from JSON: what was written comes back, and nothing else is taken."""

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import leed_jax
from leed_jax import loggers, settings
from leed_jax.config import TrainConfig
from leed_jax.generation import GenerationConfig
from leed_jax.run_config import RunConfig


def written(config: Any) -> dict[str, Any]:
    fields = {**dataclasses.asdict(config), "results": "results"}
    return json.loads(json.dumps(loggers.jsonable(fields)))


def test_a_run_comes_back_from_json() -> None:
    config = RunConfig(
        methods=("bc",),
        options={"seed": "2"},
        max_memory_mb=7,
        train=TrainConfig(gamma=1.0, total_steps=10**6),
        generation=GenerationConfig(temperature=0.5, max_cost_usd=1),
    )
    assert settings.from_json(RunConfig, written(config)) == config


def test_a_setting_that_there_was_not_yet_has_its_default() -> None:
    fields = written(RunConfig(seeds=5))
    del fields["checkpoints"], fields["train"]["gamma"], fields["generation"]
    assert settings.from_json(RunConfig, fields) == RunConfig(seeds=5)
    with pytest.raises(ValueError, match=r"run\.generation is missing"):
        settings.from_json(RunConfig, fields, "run", required=("train", "generation"))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("seeds", "3", r"run\.seeds must be a whole number, got '3'"),
        ("seeds", True, r"run\.seeds must be a whole number, got True"),
        ("seeds", 0, r"run: seeds must be at least 1"),
        ("methods", "leed", r"run\.methods must be a list, each one of leed, .*got 'leed'"),
        ("methods", ["telepathy"], r"run\.methods must be a list, each one of"),
        ("train.gamma", None, r"run\.train\.gamma must be a number, got None"),
        ("train.gamma", float("nan"), r"run\.train\.gamma must be a number, got nan"),
        ("train.gamma", 2, r"run\.train: gamma must be in \[0, 1\]"),
        ("train.gama", 1, r"run\.train has no field 'gama': .*did you mean gamma\?"),
        ("train", [], r"run\.train must be a JSON object, got list"),
        ("options", {"a": 1}, r"run\.options must be an object of texts"),
        ("num_agents", 2.0, r"run\.num_agents must be a whole number or null, got 2.0"),
        ("results", 4, r"run\.results must be a path, got 4"),
        ("name", "../x", r"run: name must be letters"),
        ("name\n\x1b[2J", 1, r"run has no field 'name\\n\\x1b\[2J'"),
    ],
)
def test_what_is_no_setting_is_named(place: str, value: Any, message: str) -> None:
    fields = written(RunConfig())
    *groups, last = place.split(".")
    inner = fields
    for group in groups:
        inner = inner[group]
    inner[last] = value
    with pytest.raises(ValueError, match=message) as caught:
        settings.from_json(RunConfig, fields, "run")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "fields",
    [
        {"_target_": "os.system", "_args_": ["touch owned"]},
        {"train": {"__class__": "os.system"}},
        {"!!python/object/apply:os.system": ["touch owned"]},
        {"methods": ["!!python/name:os.system"]},
        {"train": "!!python/object/apply:os.system ['touch owned']"},
    ],
)
def test_a_configuration_cannot_name_code(fields: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="config"):
        settings.from_json(RunConfig, written(RunConfig()) | fields)


def test_nothing_in_the_package_evaluates_or_unpickles() -> None:
    package = Path(leed_jax.__file__).parent
    hazards = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "joblib"}
    found = []
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = {node.func.id} & {"eval", "exec", "__import__", "compile"}
                found += [f"{path.name}:{node.lineno} {name}" for name in names]
                continue
            else:
                continue
            found += [f"{path.name}:{node.lineno} {name}" for name in names & hazards]
    assert found == []
