"""The job behind a chat: a run's model stays loaded and answers one message after the other."""

from __future__ import annotations

import time
from pathlib import Path

from studio.core.answers import ModelLoaded, NoAnswer, Predicted, TokenGenerated
from studio.core.commands import Ask, Command, Generate, LoadModel
from studio.core.errors import InterruptedByUserError
from studio.core.failures import explain
from studio.core.runs import Home, RunFolder
from studio.engine.chat_models import ChatModels
from studio.worker.channel import Channel

_PIECE_SECONDS = 0.05
"""Free text is told at most this often: a fast model writes hundreds of tokens a second, and nobody reads that fast."""


def chat(command: Command, channel: Channel) -> None:
    """Run ``LoadModel``, then answer each ``Ask`` and ``Generate`` until stdin closes."""
    assert isinstance(command, LoadModel)
    models = ChatModels(Home(Path(command.home)), channel.stage)
    _open(models, command, channel)
    while (asked := channel.next_command()) is not None:
        if isinstance(asked, LoadModel):
            _open(models, asked, channel)
        elif isinstance(asked, Ask | Generate):
            _answer(models, asked, channel)
        else:
            channel.log(f"A loaded model answers messages; {asked.command!r} needs a worker of its own.", "error")


def _open(models: ChatModels, command: LoadModel, channel: Channel) -> None:
    run = RunFolder(Path(command.run))
    predictor = models.open(run)
    channel.measure(predictor.compute.kind, predictor.compute.memory_bytes)
    channel.emit(ModelLoaded(run=run.name, device=predictor.compute.name, labels=list(predictor.labels.names)))


def _answer(models: ChatModels, asked: Ask | Generate, channel: Channel) -> None:
    """One answer. What goes wrong with it is told, and the next message can be asked."""
    try:
        if channel.given_up(asked.request):
            raise InterruptedByUserError
        if isinstance(asked, Ask):
            _classify(models, asked, channel)
        else:
            _write(models, asked, channel)
    except Exception as error:
        failed = explain(error)
        if failed.kind == "bug":
            raise
        channel.emit(NoAnswer(request=asked.request, **failed.model_dump(include={"kind", "message", "remedy", "detail"})))


def _classify(models: ChatModels, asked: Ask, channel: Channel) -> None:
    with models.speaking(asked.speaker) as predictor:
        began = time.monotonic()
        (answer,) = predictor.classify([asked.text])
        seconds = time.monotonic() - began
        cut = predictor.encoder.cuts(asked.text)
    channel.emit(Predicted(request=asked.request, prediction=answer.prediction, seconds=seconds, cut=cut))


def _write(models: ChatModels, asked: Generate, channel: Channel) -> None:
    waiting, told = "", 0.0

    def tell(piece: str) -> None:
        nonlocal waiting, told
        waiting += piece
        if waiting and time.monotonic() - told >= _PIECE_SECONDS:
            channel.emit(TokenGenerated(request=asked.request, text=waiting))
            waiting, told = "", time.monotonic()

    with models.speaking(asked.speaker) as predictor:
        end = predictor.write(asked.text, asked.settings, tell, lambda: channel.given_up(asked.request))
    channel.emit(TokenGenerated(request=asked.request, text=waiting, end=end))
