"""What may be exported, and where to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.config import MethodKind
from studio.core.errors import StudioError
from studio.core.exports import ExportKind, check_export_kind, export_kinds, free_bytes, merged_into, partial_folder, target_problem


def _file(path: Path) -> None:
    path.write_text("precious")


def _folder(path: Path) -> None:
    path.mkdir()


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "something").touch()


@pytest.mark.parametrize(
    ("make", "target", "words"),
    [
        (_folder, "place", ""),
        (_folder, "place/new/newer", ""),
        (_full_folder, "place/new", ""),
        (_full_folder, "place", "not empty"),
        (_file, "place", "This is a file."),
        (_file, "place/new", "is a file, so there can be no folder in it"),
    ],
)
def test_where_an_export_may_go(tmp_path: Path, make: Callable[[Path], None], target: str, words: str) -> None:
    make(tmp_path / "place")
    problem = target_problem(tmp_path / target)
    assert (problem is None) == (not words)
    assert problem is None or (words in problem[0] and problem[1])


def test_not_among_the_runs(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "one").mkdir(parents=True)
    for inside in (runs / "new", runs / "one" / "deep" / "er", tmp_path / "elsewhere" / ".." / "runs" / "x"):
        problem = target_problem(inside, [runs])
        assert problem is not None
        assert "among the runs" in problem[0]
    assert target_problem(tmp_path / "runs-2", [runs]) is None


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", unreadable)
    problem = target_problem(tmp_path)
    assert problem is not None
    assert problem[0] == "This folder cannot be read: Permission denied."


def test_room_is_that_of_the_nearest_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (free_bytes(tmp_path / "a" / "b") or 0) > 0

    def unreadable(_path: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(shutil, "disk_usage", unreadable)
    assert free_bytes(tmp_path) is None


def test_it_is_written_beside_its_place() -> None:
    assert partial_folder(Path("/a/b")) == Path("/a/.b.partial")


@pytest.mark.parametrize(
    ("method", "kinds"), [("full", ("model",)), ("lora", ("adapter", "merged")), ("qlora", ("adapter", "merged"))]
)
def test_what_each_method_leaves(method: MethodKind, kinds: tuple[ExportKind, ...]) -> None:
    assert export_kinds(method) == kinds
    every: tuple[ExportKind, ...] = ("adapter", "merged", "model")
    for kind in every:
        if kind in kinds:
            check_export_kind(kind, method)
            continue
        with pytest.raises(StudioError, match="cannot be exported from this run") as refused:
            check_export_kind(kind, method)
        assert f"--as {kinds[0]}" in refused.value.remedy


def test_what_is_merged_into_is_said() -> None:
    assert "4 bits" in merged_into("qlora", "bf16")
    assert "bf16" in merged_into("lora", "bf16")
    assert "bf16" not in merged_into("lora", "fp32")
