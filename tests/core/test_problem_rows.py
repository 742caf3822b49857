"""The file with the rows behind a problem: what was written is read, found and bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import StudioError
from studio.core.problem_rows import ProblemRow, ProblemRows, write_problem_rows

ROWS = [
    ProblemRow("train", "train.csv", 1, "Where is my CARD?", "card_arrival"),
    ProblemRow("test", "test.csv", 7, "a+b (c", "None"),
    ProblemRow("left out", "train.csv", 9, "", "lost"),
]


def test_rows_come_back(tmp_path: Path) -> None:
    write_problem_rows(tmp_path / "0.arrow", ROWS)
    rows = ProblemRows(tmp_path / "0.arrow")
    assert len(rows) == 3
    assert [rows.row(number) for number in range(3)] == rows.rows([0, 1, 2]) == ROWS
    assert rows.rows([2, 0]) == [ROWS[2], ROWS[0]]
    assert rows.several_files()


@pytest.mark.parametrize(
    ("words", "found"),
    [("", [0, 1, 2]), ("card", [0]), ("CARD where", [0]), ("card lost", []), ("a+b (C", [1]), ("none", [1]), ("left", [2])],
)
def test_words_are_found_in_any_case_and_are_no_pattern(tmp_path: Path, words: str, found: list[int]) -> None:
    write_problem_rows(tmp_path / "0.arrow", ROWS)
    assert ProblemRows(tmp_path / "0.arrow").matching(words).tolist() == found


def test_long_texts_are_cut(tmp_path: Path) -> None:
    write_problem_rows(tmp_path / "0.arrow", [ROWS[0]._replace(text="x" * 2**20, label="y" * 5000)])
    row = ProblemRows(tmp_path / "0.arrow").row(0)
    assert (len(row.text), len(row.label), row.text[-1]) == (2000, 2000, "…")
    assert (tmp_path / "0.arrow").stat().st_size < 20_000


def test_no_rows_and_no_file(tmp_path: Path) -> None:
    write_problem_rows(tmp_path / "0.arrow", [])
    assert len(ProblemRows(tmp_path / "0.arrow")) == 0
    assert ProblemRows(tmp_path / "0.arrow").matching("a").tolist() == []
    (tmp_path / "1.arrow").write_bytes(b"ARROW1 and then nothing")
    for name in ("1.arrow", "none.arrow"):
        with pytest.raises(StudioError, match="cannot be read any more"):
            ProblemRows(tmp_path / name)
