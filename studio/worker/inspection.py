"""The job behind the data preview. Loads no torch, so that it answers at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from studio.core.commands import InspectData
from studio.core.events import DataInspected, StageChanged
from studio.data.sources import Example, read_table
from studio.data.splits import dataset_files, load_splits
from studio.worker.channel import Channel


def inspect_data(command: InspectData, channel: Channel) -> None:
    """Answer with ``DataInspected``. Raises StudioError when the data cannot be used."""
    channel.emit(StageChanged(stage="reading the data"))
    splits = load_splits(command.dataset)
    with dataset_files(command.dataset) as paths:
        first_rows = read_table(paths["train"]).slice(0, command.preview_rows).to_pylist()
    channel.emit(
        DataInspected(
            guess=splits.guess,
            preview=[{column: value or "" for column, value in row.items()} for row in first_rows],
            train_counts=_counts(splits.train),
            validation_counts=_counts(splits.validation),
            test_counts=_counts(splits.test),
            longest_text=max((row.text for row in (*splits.train, *splits.validation, *splits.test)), key=len),
            problems=splits.problems,
        )
    )


def _counts(rows: Sequence[Example]) -> dict[str, int]:
    """Rows per intent, most frequent first, equals by name."""
    counts = Counter(row.label for row in rows)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
