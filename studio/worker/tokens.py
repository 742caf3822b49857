"""The job behind the token inspector: rows of a data set as the tokens that a run would train on. Loads no model."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from studio.core.answers import InspectedToken, TokensInspected, TokenTotals
from studio.core.batch_sizes import micro_batch_for
from studio.core.commands import Command, InspectTokens
from studio.core.config import RunConfig
from studio.core.data_problems import DataProblem
from studio.core.machine import DeviceName
from studio.core.runs import Home
from studio.data.downloads import Downloads
from studio.data.prompts import Encoded, PromptEncoder
from studio.data.sources import Example
from studio.data.splits import Splits, load_splits
from studio.engine.models import base_folder, load_tokenizer, within_context
from studio.engine.sizes import largest_micro_batch, shared_tokens
from studio.worker.channel import Channel
from studio.worker.inspection import cut_messages

_CUT_ROWS = 500

Made = TypeVar("Made")


def inspect_tokens(command: Command, channel: Channel) -> None:
    """Run ``InspectTokens``, and those that follow until stdin closes. Raises StudioError as training would."""
    inspector = _Inspector(channel)
    asked: Command | None = command
    while asked is not None:
        if isinstance(asked, InspectTokens):
            channel.emit(inspector.answer(asked))
        else:
            channel.log(f"This process shows tokens; {asked.command!r} needs one of its own.", "error")
        asked = channel.next_command()


class _Inspector:
    """Keeps data, tokenizer and token ids until a question comes that needs others."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._kept: dict[str, tuple[Hashable, object]] = {}
        self._cut_rows: Path | None = None

    def answer(self, command: InspectTokens) -> TokensInspected:
        config = command.config
        dataset, model, prompt = (table.model_dump_json() for table in (config.dataset, config.model, config.prompt))
        splits = self._once("data", dataset, lambda: self._read(config))
        folder, tokenizer = self._once("tokenizer", model, lambda: self._tokenizer(config, command.home))
        limits = within_context(config.prompt, folder)
        key = (dataset, model, prompt)
        encoder, alike = self._once("encoder", key, lambda: _encoder(PromptEncoder(tokenizer, limits), splits.labels))
        encoded = self._once("rows", key, lambda: [encoder.encode(example) for example in splits.train])
        training = config.training
        cutting = (training.batch_size, micro_batch_for(config, command.device), training.seed, training.epochs, training.max_steps)
        totals = self._once(
            "totals", (key, cutting), lambda: _totals(encoded, config, command.device, alike, splits.most_predicted)
        )
        problems = self._once(
            "cut", (key, command.rows_folder), lambda: self._cut(encoded, limits.max_length, splits.train, command.rows_folder)
        )

        row = None if command.message is not None else max(0, min(command.row, len(encoded) - 1))
        if row is None:
            assert command.message is not None
            example = Example(command.message.text, command.message.label)
        else:
            example = splits.train[row]
        shown = encoder.encode(example)
        texts = encoder.token_texts(shown.ids)
        return TokensInspected(
            request=command.request,
            row=row,
            text=example.text,
            label=example.label,
            cut=example.text[len(encoder.kept(example.text)) :],
            tokens=[
                InspectedToken(id=index, text=text, supervised=supervised)
                for index, text, supervised in zip(shown.ids, texts, shown.supervised, strict=True)
            ],
            chat=encoder.chat,
            prompt=encoder.prompt_text,
            max_length=limits.max_length,
            labels=splits.labels,
            totals=totals,
            problems=problems,
        )

    def _cut(self, encoded: Sequence[Encoded], limit: int, examples: Sequence[Example], folder: str | None) -> list[DataProblem]:
        """Under a name of its own: the window may still read the rows before. Those are deleted where that is possible."""
        if self._cut_rows is not None:
            with contextlib.suppress(OSError):  # Windows keeps what is open
                self._cut_rows.unlink(missing_ok=True)
        self._cut_rows = Path(folder) / f"cut-{uuid.uuid4().hex}.arrow" if folder else None
        return cut_messages(encoded, limit, examples, self._cut_rows)

    def _read(self, config: RunConfig) -> Splits:
        channel = self._channel
        return load_splits(config.dataset, channel.stage, lambda: channel.stop.requested, Downloads(channel.emit))

    def _tokenizer(self, config: RunConfig, home: str) -> tuple[Path, Any]:
        folder = base_folder(config.model, Home(Path(home)), self._channel.stage)
        self._channel.stage("loading the tokenizer")
        return folder, load_tokenizer(folder)

    def _once(self, name: str, key: Hashable, make: Callable[[], Made]) -> Made:
        if name not in self._kept or self._kept[name][0] != key:
            self._kept.pop(name, None)  # two of them at once would need twice the memory
            self._kept[name] = (key, make())
        return cast(Made, self._kept[name][1])


def _encoder(encoder: PromptEncoder, labels: Sequence[str]) -> tuple[PromptEncoder, list[list[str]]]:
    """The encoder with room for its labels, and those that look alike to it: training refuses them, here they are told."""
    alike = encoder.alike(labels)
    copies = {name for group in alike for name in group[1:]}
    encoder.label_set([name for name in labels if name not in copies])
    return encoder, alike


def _totals(
    encoded: Sequence[Encoded], config: RunConfig, device: DeviceName, alike: list[list[str]], predicted: int
) -> TokenTotals:
    lengths = [len(row.ids) for row in encoded]
    supervised = [sum(row.supervised) for row in encoded]
    cut = [position for position, row in enumerate(encoded) if row.truncated]
    longest = max(lengths)
    return TokenTotals(
        rows=len(encoded),
        longest=longest,
        longest_row=lengths.index(longest),
        mean=sum(lengths) / len(lengths),
        supervised=sum(supervised) / len(supervised),
        most_supervised=max(supervised),
        cut=len(cut),
        cut_rows=cut[:_CUT_ROWS],
        largest=largest_micro_batch(config, device, encoded, predicted),
        shared=shared_tokens(config, device, encoded),
        alike=alike,
    )
