"""The report of a run: complete, escaped, and in need of no other file."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from studio.core.answers import LabelProbability, Prediction
from studio.core.errors import StudioError
from studio.core.events import Evaluated, Event, Finished, StepsCompleted
from studio.core.predictions import write_predictions
from studio.core.report import report_html
from studio.core.run_file import validate_run_config
from studio.core.runs import Home, RunFolder
from studio.core.wire import encode

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = Home.locate(tmp_path).create_run(validate_run_config({"method": {"kind": "lora"}}))
    labels = ["card", EVIL]
    rows = [predicted("where is it?", "card", "card"), predicted(f"{EVIL} & co", EVIL, "card")]
    write_predictions(run.predictions_path, labels, rows)
    said: list[Event] = [
        Evaluated(step=0, split="test", loss=3.0, accuracy=0.25, macro_f1=0.2, outside_rate=0.9, rows=2),
        *(steps(number, 2.0 / number) for number in range(1, 6)),
        steps(6, math.nan),
        Evaluated(step=6, split="validation", loss=0.5, accuracy=0.75, macro_f1=0.7, outside_rate=0.0, rows=4),
    ]
    run.events_path.write_bytes(b"".join(map(encode, said)))
    run.write_outcome(Finished(outcome="completed", rows=2, peak_bytes=3 * 2**30, forecast_bytes=2 * 2**30, seconds=125.0))
    return run


def predicted(text: str, label: str, answer: str) -> Prediction:
    top = [LabelProbability(label=answer, probability=0.75)]
    return Prediction(
        text=text, label=label, predicted=answer, probability=0.75, top=top, left_set=False, outside_mass=0.0, label_probability=0.2
    )


def steps(first: int, loss: float) -> StepsCompleted:
    return StepsCompleted(
        first_step=first,
        losses=[loss],
        seconds=[1.0],
        steps=6,
        epoch=1.0,
        learning_rate=1e-4,
        gradient_norm=1.0,
        tokens=10,
        memory_bytes=1,
    )


class Page(HTMLParser):
    """What a browser would do with it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_says_what_the_run_says(run: RunFolder) -> None:
    text = Page(report_html(run)).text.replace("\u00a0", " ")
    for expected in ("50.0 %", "1 of 2", "25.0 %", "3.0 GB", "forecast 2.0 GB", "2:05", 'kind = "lora"', "where is it?"):
        assert (expected in text) is (expected != "where is it?"), expected


def test_what_data_holds_is_never_markup(run: RunFolder) -> None:
    page = Page(report_html(run))
    assert "script" not in page.tags
    assert page.loads == []
    assert page.text.count(EVIL) >= 4, "as a name in the matrix, among the intents and pairs, and in a message"


def test_the_curve_is_drawn_without_what_is_not_finite(run: RunFolder) -> None:
    html = report_html(run)
    drawing = ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])
    (line,) = drawing.iter("polyline")
    assert len(line.attrib["points"].split()) == 5
    assert len(list(drawing.iter("circle"))) == 1
    assert "nan" not in html[html.index("<svg") : html.index("</svg>")]


def test_a_long_curve_is_thinned(run: RunFolder) -> None:
    run.events_path.write_bytes(b"".join(encode(steps(number, 1.0)) for number in range(1, 10_001)))
    assert len(report_html(run)) < 100_000


def test_a_run_without_a_step_or_predictions(run: RunFolder) -> None:
    run.events_path.unlink()
    assert "No step was completed." in report_html(run)
    run.predictions_path.unlink()
    with pytest.raises(StudioError, match="has no test predictions"):
        report_html(run)
    run.predictions_path.write_bytes(b"PAR1")
    with pytest.raises(StudioError, match="cannot be read"):
        report_html(run)
