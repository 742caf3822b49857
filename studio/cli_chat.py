"""``finetune-studio chat``: messages from a terminal or a pipe, answers as they come."""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from pydantic import ValidationError

from studio.cli_output import DONE, FAILED, INTERRUPTED, Output, plain, to_json
from studio.core.answers import ModelLoaded, NoAnswer, Predicted, TokenGenerated
from studio.core.chat_history import SPEAKER_NAMES
from studio.core.commands import Ask, Cancel, Generate, LoadModel
from studio.core.events import Crashed, Event, Failed
from studio.core.generation import GenerationSettings, Speaker, written_facts
from studio.core.runs import Home
from studio.core.words import percent
from studio.supervise.process import WorkerProcess
from studio.supervise.starting import start_job

_CUT = "The message is longer than this run reads (max_length); its end was left out."


def add_chat_options(chat: argparse.ArgumentParser) -> None:
    """The options of the command, described as the window describes them."""
    chat.add_argument("--free", action="store_true", help="let the model write free text instead of naming an intent")
    chat.add_argument("--base", action="store_true", help="have the untrained base answer too")
    fields = GenerationSettings.model_fields
    for name, kind, what in (("temperature", float, "T"), ("top_p", float, "P"), ("max_tokens", int, "N")):
        text = f"with --free: {fields[name].description} Default {fields[name].default}."
        chat.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar=what, type=kind, help=text)
    seed = f"with --free: {fields['seed'].description} Another one for each answer when left out."
    chat.add_argument("--seed", metavar="N", type=int, help=seed)
    chat.add_argument("--raw", action="store_true", help=f"with --free: {fields['raw'].description}")


def chat_settings(arguments: argparse.Namespace) -> GenerationSettings | None:
    """How free text is drawn; None without ``--free``. Raises ValueError in words for what makes no sense."""
    given = {name: getattr(arguments, name) for name in ("temperature", "top_p", "max_tokens", "seed")}
    given = {name: value for name, value in given.items() if value is not None} | ({"raw": True} if arguments.raw else {})
    if given and not arguments.free:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} is for --free")
    try:
        return GenerationSettings.model_validate(given) if arguments.free else None
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"--{str(problem['loc'][0]).replace('_', '-')}: {problem['msg']}") from error


def chat(arguments: argparse.Namespace, output: Output) -> int:
    """Answer until the input ends. 0 then, unless a message of a pipe could not be answered."""
    home = Home.locate(arguments.home)
    run = home.find_run(arguments.run)
    process = start_job(LoadModel(run=str(run.path), home=str(home.path)))
    speakers: list[Speaker] = ["tuned", "base"] if arguments.base else ["tuned"]
    return _Conversation(process, output, speakers, chat_settings(arguments), fixed_seed=arguments.seed is not None).hold()


class _Conversation:
    """One worker that is asked again and again. Ctrl-C stops the answer; at the second one the worker is ended."""

    def __init__(
        self,
        process: WorkerProcess,
        output: Output,
        speakers: list[Speaker],
        settings: GenerationSettings | None,
        *,
        fixed_seed: bool,
    ) -> None:
        self._process, self._output, self._events = process, output, process.events()
        self._speakers, self._settings, self._fixed_seed = speakers, settings, fixed_seed
        self._terminal = sys.stdin.isatty()
        self._request = 0
        self._interruptions = 0
        self._unanswered = False

    def hold(self) -> int:
        try:
            with self._interruptible(), self._output.live():
                loaded: ModelLoaded | None = self._wait(ModelLoaded, show=self._output.progress)
            if loaded is None:
                return self._fail()
            if self._terminal:
                self._output.say(f"Loaded on {loaded.device}. Ctrl-C stops an answer, Ctrl-D leaves.")
            for message in self._messages():
                if not self._answer(message):
                    return self._fail()
                if self._interruptions and not self._terminal:
                    return INTERRUPTED
            return FAILED if self._unanswered and not self._terminal else DONE
        finally:
            self._process.close()
            for _ in self._events:  # until it is gone
                pass

    def _messages(self) -> Iterator[str]:
        """What is written, line by line, until the end of the input."""
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")
        if self._terminal:
            with contextlib.suppress(ImportError):  # line editing and history, where there are any
                import readline  # noqa: F401
        while True:
            try:
                line = input("" if self._output.json else "\n> ") if self._terminal else next(sys.stdin)
            except (EOFError, StopIteration):
                if self._terminal:
                    self._output.say()
                return
            except KeyboardInterrupt:
                if not self._terminal:
                    raise
                self._output.say("\nCtrl-D leaves.")
                continue
            # Bytes that are no UTF-8 arrive as half characters, which cannot be sent.
            if message := line.strip().encode("utf-8", "surrogateescape").decode("utf-8", "replace"):
                yield message

    def _answer(self, message: str) -> bool:
        """Have everybody answer; False when the worker is gone."""
        settings = self._settings
        if settings is not None and not self._fixed_seed:
            settings = settings.model_copy(update={"seed": random.randrange(10_000_000)})
        with self._interruptible():
            for speaker in self._speakers:
                if self._interruptions:
                    break
                self._request += 1
                if settings is None:
                    self._process.send(Ask(request=self._request, text=message, speaker=speaker))
                    there = self._hear_intents(message, speaker)
                else:
                    self._process.send(Generate(request=self._request, text=message, speaker=speaker, settings=settings))
                    there = self._hear_text(message, speaker, settings)
                if not there:
                    return False
        return True

    def _hear_intents(self, message: str, speaker: Speaker) -> bool:
        answer: Predicted | NoAnswer | None = self._wait(Predicted, NoAnswer)
        if isinstance(answer, NoAnswer):
            self._refuse(message, speaker, answer)
        elif isinstance(answer, Predicted) and self._output.json:
            said = {"prediction": to_json(answer.prediction), "seconds": answer.seconds, "cut": answer.cut}
            self._output.line({"message": message, "speaker": speaker, **said})
        elif isinstance(answer, Predicted):
            self._introduce(speaker)
            for entry in answer.prediction.top:
                self._output.say(f"{percent(entry.probability):>8}  {plain(entry.label)}")
            self._remark(answer.cut)
        return answer is not None

    def _hear_text(self, message: str, speaker: Speaker, settings: GenerationSettings) -> bool:
        if not self._output.json:
            self._introduce(speaker)
        text, end = "", None
        while end is None:
            piece: TokenGenerated | NoAnswer | None = self._wait(TokenGenerated, NoAnswer)
            if piece is None:
                return False
            if isinstance(piece, NoAnswer):
                self._refuse(message, speaker, piece)
                return True
            end = piece.end
            if not self._output.json:
                self._output.write(piece.text if text.strip() else piece.text.lstrip())
            text += piece.text
        if self._output.json:
            said = {"text": text, "settings": to_json(settings), "end": to_json(end)}
            self._output.line({"message": message, "speaker": speaker, **said})
        else:
            self._output.say()
            self._remark(end.cut)
            if self._terminal:
                self._output.say(f"[{written_facts(end, settings)}]")
        return True

    def _introduce(self, speaker: Speaker) -> None:
        if len(self._speakers) > 1:
            self._output.say(f"{SPEAKER_NAMES[speaker]}:")

    def _remark(self, cut: bool) -> None:
        if cut:
            self._output.warn(_CUT)

    def _refuse(self, message: str, speaker: Speaker, answer: NoAnswer) -> None:
        self._unanswered = True
        if self._output.json:
            said = {"kind": answer.kind, "message": answer.message, "remedy": answer.remedy}
            self._output.line({"message": message, "speaker": speaker, "problem": said})
        if answer.kind != "stopped":
            self._output.warn(f"{answer.message} {answer.remedy}".strip())
        elif not self._output.json:
            self._output.say("Stopped.")

    def _wait(self, *kinds: type[Any], show: Callable[[Event], object] = lambda _event: None) -> Any:
        """The next event of these kinds; None when the worker is gone."""
        for event in self._events:
            show(event)
            if isinstance(event, kinds):
                return event
        return None

    def _fail(self) -> int:
        final = self._process.last_word
        if isinstance(final, Failed | Crashed):
            self._output.fail(final)
        return INTERRUPTED if self._interruptions else FAILED

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """While the worker is at work, Ctrl-C stops that instead of this program."""
        self._interruptions = 0

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            # Says nothing itself: it may have interrupted a print.
            self._interruptions += 1
            if self._interruptions == 1 and self._request:
                self._process.send(Cancel(request=self._request))
            else:
                self._process.cancel()

        previous = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)
