"""run.toml: read, checked with every problem told at once, and written."""

from __future__ import annotations

import difflib
import importlib.resources
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from studio.core.bases import hub_id
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.paths import as_typed


def parse_run_config(text: str, folder: Path | None = None) -> RunConfig:
    """Read TOML; relative file names are taken from ``folder``. Raises StudioError listing every problem at once."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudioError(f"The run file is not valid TOML: {error}.", "Correct that place and try again.") from error
    config = validate_run_config(table)
    return _anchor(config, folder) if folder is not None else config


def load_run_config(path: Path) -> RunConfig:
    """Read a run.toml. Raises StudioError."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise StudioError(f"The run file {path} cannot be read: {error.strerror}.", "Check its name and permissions.") from error
    except UnicodeDecodeError as error:
        raise StudioError(
            f"{path} is no run file: it is not text in UTF-8.", "Name a run.toml. A file of messages is named in it, as source."
        ) from error
    return parse_run_config(text, path.resolve().parent)


def sample_run_config() -> RunConfig:
    """The preset of the sample: what the window's first Train and ``train sample`` run."""
    preset = importlib.resources.files("studio.resources") / "presets" / "sample.toml"
    return parse_run_config(preset.read_text("utf-8"))


def validate_run_config(table: dict[str, Any]) -> RunConfig:
    """Check a nested dictionary. Raises StudioError naming each problem's path, and the nearest key for an unknown one."""
    try:
        return RunConfig.model_validate(table)
    except ValidationError as error:
        problems = _explain(error)
    # Raised out here, without the ValidationError: that refers to the frames of all callers, which may hold this StudioError, and
    # the garbage collector cannot look into it (pydantic-core 2.50), so that the circle would stay in memory for ever.
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise StudioError(
        f"The run settings have {count}: {'; '.join(problems)}.", "Correct them and try again.", detail="\n".join(problems)
    )


def dump_run_config(config: RunConfig) -> str:
    """TOML with every field that is set. ``parse_run_config`` gives the same config back."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _anchor(config: RunConfig, folder: Path) -> RunConfig:
    def absolute(name: str | None) -> str | None:
        return name if name is None else str((folder / as_typed(name)).resolve())

    dataset, model = config.dataset, config.model
    dataset = dataset.model_copy(
        update={
            "source": absolute(dataset.source) if dataset.source != "sample" and hub_id(dataset.source) is None else dataset.source,
            "validation": absolute(dataset.validation),
            "test": absolute(dataset.test),
        }
    )
    if model.base != "starter" and hub_id(model.base) is None:
        model = model.model_copy(update={"base": absolute(model.base)})
    return config.model_copy(update={"dataset": dataset, "model": model})


_BRANCHES = ("int", "str", "bool", "list[str]")


def _explain(error: ValidationError) -> list[str]:
    """One sentence for each key, in their order."""
    reasons: dict[str, list[str]] = {}
    given: dict[str, str] = {}
    for problem in error.errors():
        # pydantic adds the branch of a union to the path; a person only knows the key.
        location = [part for part in map(str, problem["loc"]) if part not in _BRANCHES and not part.startswith("literal[")]
        path = ".".join(location)
        if problem["type"] == "extra_forbidden":
            known = _known_keys(location[:-1])
            near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.0)
            reasons[f"unknown key {path}"] = [f"the nearest known key is {near[0]}"] if near else []
        else:
            message = "must be a table" if problem["type"] == "model_type" else problem["msg"].removeprefix("Value error, ")
            # A value that fits no branch of a union has a reason for each branch.
            reasons.setdefault(path, []).append(f"{message[:1].lower()}{message[1:]}")
            given[path] = f" (given: {problem['input']!r})"
    return [
        f"{path}: {', or '.join(told)}{given[path]}" if path in given else f"{path} ({told[0]})" if told else path
        for path, told in reasons.items()
    ]


def _known_keys(path: list[str]) -> list[str]:
    table: type[BaseModel] = RunConfig
    for part in path:
        annotation = table.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        table = annotation
    return list(table.model_fields)
