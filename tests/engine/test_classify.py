"""The one rule, compared with scoring every label by brute force."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Set
from pathlib import Path

import pytest
import torch

from studio.core.errors import InterruptedByUserError, StudioError
from studio.core.labels import LabelSet
from studio.data.prompts import PromptEncoder
from studio.engine import tree_scoring
from studio.engine.classify import classify, predicting, reads_trees
from studio.engine.devices import Compute
from studio.engine.label_search import LabelSearch, Query
from studio.engine.models import load_base
from studio.engine.tree_scoring import TreeScoring
from tests.engine.conftest import EXAMPLES, LABELS, MESSAGES
from tests.engine.test_token_tree import made


def brute_force(model: torch.nn.Module, prompt: list[int], labels: LabelSet) -> list[float]:
    """log P(label tokens, end | prompt) of every label, each from a forward of its own over the whole sequence."""
    scores = []
    for ids in labels.token_ids:
        logits = model(input_ids=torch.tensor([prompt + list(ids)])).logits[0].double()
        log_probabilities = logits.log_softmax(-1)
        scores.append(sum(float(log_probabilities[len(prompt) - 1 + offset, token]) for offset, token in enumerate(ids)))
    return scores


def greedy_leaves(model: torch.nn.Module, prompt: list[int], labels: LabelSet) -> bool:
    """Whether writing the most probable token again and again ends outside the label set."""
    written: list[int] = []
    while tuple(written) not in labels.token_ids:
        if not any(ids[: len(written)] == tuple(written) for ids in labels.token_ids):
            return True
        written.append(int(model(input_ids=torch.tensor([prompt + written])).logits[0, -1].argmax()))
    return False


@pytest.mark.parametrize("with_labels", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_equals_brute_force(folder: Path, encoder: PromptEncoder, cpu: Compute, with_labels: bool, batch_size: int) -> None:
    model = load_base(folder, cpu, trained=False, quantised=False)
    labels = encoder.label_set(LABELS)
    queries = [Query(row.text, encoder.prompt_ids(row.text), LABELS.index(row.label) if with_labels else None) for row in EXAMPLES]
    found = classify(model, labels, queries, cpu, batch_size=batch_size)
    with torch.no_grad():
        for query, result in zip(queries, found, strict=True):
            scores = torch.tensor(brute_force(model, list(query.prompt), labels), dtype=torch.float64)
            probabilities = scores.softmax(0)
            prediction = result.prediction
            assert prediction.text == query.text
            assert prediction.predicted == LABELS[int(scores.argmax())]
            assert prediction.probability == pytest.approx(float(probabilities.max()), abs=1e-4)
            for entry in prediction.top:
                assert entry.probability == pytest.approx(float(probabilities[LABELS.index(entry.label)]), abs=1e-4)
            assert [entry.probability for entry in prediction.top] == sorted((e.probability for e in prediction.top), reverse=True)
            assert prediction.outside_mass == pytest.approx(1 - float(scores.exp().sum()), abs=1e-4)
            assert prediction.left_set == greedy_leaves(model, list(query.prompt), labels)
            if query.label is None:
                assert prediction.label_probability is None
                assert result.nats is None
            else:
                assert prediction.label == LABELS[query.label]
                assert prediction.label_probability == pytest.approx(float(probabilities[query.label]), abs=1e-4)
                assert result.nats == pytest.approx(-float(scores[query.label]), rel=1e-4)


def test_messages_that_come_and_go_are_answered_as_each_by_itself(
    folder: Path, encoder: PromptEncoder, cpu: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for a few only: prompts take the slots of others, longer ones move everything, and old label tokens go."""
    model = load_base(folder, cpu, trained=False, quantised=False)
    labels = encoder.label_set(LABELS)
    texts = [" ".join([text] * (1 + row % 5)) for row, text in enumerate(MESSAGES * 6)]
    queries = [Query(text, encoder.prompt_ids(text), row % len(LABELS)) for row, text in enumerate(texts)]
    classify(model, labels, queries[:1], cpu)
    alone = [classify(model, labels, [query], cpu)[0] for query in queries]
    read: list[tuple[int, int]] = []
    plain = TreeScoring.read

    def watched(scoring: TreeScoring, searches: Mapping[int, LabelSearch], left: Set[int]) -> None:
        read.append((len(searches), len(left)))
        plain(scoring, searches, left)

    monkeypatch.setattr(TreeScoring, "read", watched)
    monkeypatch.setattr(tree_scoring, "_FEW_PROMPTS", 1)
    found = classify(model, labels, queries, cpu, batch_size=7)
    assert max(new + left for new, left in read) <= 7
    assert any(left for _new, left in read), "nobody came while others were there"
    for expected, result in zip(alone, found, strict=True):
        assert result.prediction.text == expected.prediction.text
        assert result.prediction.predicted == expected.prediction.predicted
        assert result.prediction.probability == pytest.approx(expected.prediction.probability, abs=1e-5)
        assert result.nats == pytest.approx(expected.nats, rel=1e-4)


def brute_forces(model: torch.nn.Module, prompt: list[int], labels: LabelSet) -> torch.Tensor:
    """The same of many labels, padded on the right, which no causal model sees."""
    longest = max(map(len, labels.token_ids))
    ids = torch.tensor([[*prompt, *label, *[0] * (longest - len(label))] for label in labels.token_ids])
    logits = model(input_ids=ids).logits[:, len(prompt) - 1 : -1].double().log_softmax(-1)
    each = logits.gather(2, ids[:, len(prompt) :, None])[..., 0]
    inside = torch.arange(longest) < torch.tensor([len(label) for label in labels.token_ids])[:, None]
    return torch.where(inside, each, 0.0).sum(1)


@pytest.mark.parametrize("sharpness", [1.0, 6.0])
@pytest.mark.parametrize("with_labels", [True, False])
def test_a_thousand_labels(folder: Path, encoder: PromptEncoder, cpu: Compute, sharpness: float, with_labels: bool) -> None:
    """Many are the beginning of others, some are long, some are not ASCII."""
    words = ["card", "lost", "über", "カード", "top_up", "x" * 20, "a", "b", "aa", "ß"]
    names = sorted({"_".join(parts) for length in (1, 2, 3) for parts in itertools.product(words, repeat=length)})[:1000]
    model = load_base(folder, cpu, trained=False, quantised=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(sharpness)
    labels = encoder.label_set(names)
    queries = [Query(text, encoder.prompt_ids(text), 7 * row if with_labels else None) for row, text in enumerate(MESSAGES[:3])]
    for query, result in zip(queries, classify(model, labels, queries, cpu), strict=True):
        with torch.no_grad():
            scores = brute_forces(model, list(query.prompt), labels)
        probabilities = scores.softmax(0)
        assert result.prediction.predicted == names[int(scores.argmax())]
        for entry in result.prediction.top:
            assert entry.probability == pytest.approx(float(probabilities[labels.index(entry.label)]), abs=1e-4)
        if query.label is not None:
            assert result.nats == pytest.approx(-float(scores[query.label]), rel=1e-4)


@pytest.mark.parametrize("name", ["qwen3", "mistral", "gemma3", "bloom"])
def test_other_models(cpu: Compute, name: str) -> None:
    """Of the last two, one squashes its scores after the head and one counts distances itself: these are read padded."""
    model = made(name).eval()
    ids = [[5, 6, 1], [5, 6, 7, 1], [5, 8, 9, 10, 1], [11, 1], [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 1], [5, 8, 9, 1]]
    labels = LabelSet.build([str(index) for index in range(len(ids))], ids)
    prompts = [[2, 3, *range(30, 30 + length), 4] for length in (1, 3, 20, 20)]
    found = classify(model, labels, [Query(str(row), prompt, row) for row, prompt in enumerate(prompts)], cpu)
    for prompt, result in zip(prompts, found, strict=True):
        with torch.no_grad():
            scores = torch.tensor(brute_force(model, prompt, labels), dtype=torch.float64)
        assert result.prediction.predicted == str(int(scores.argmax()))
        assert result.prediction.probability == pytest.approx(float(scores.softmax(0).max()), abs=1e-4)
        assert result.nats == pytest.approx(-float(scores[int(result.prediction.label or "")]), rel=1e-4)
    assert reads_trees(model) is (name in ("qwen3", "mistral"))


def test_the_usual_models_are_read_as_trees(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    model = load_base(folder, cpu, trained=False, quantised=False)
    assert reads_trees(model) is None
    classify(model, encoder.label_set(LABELS), [Query("hi", encoder.prompt_ids("hi"))], cpu)
    assert reads_trees(model)


def test_top_lists_every_label_that_matters(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    model = load_base(folder, cpu, trained=False, quantised=False)
    labels = encoder.label_set(LABELS)
    query = Query(MESSAGES[0], encoder.prompt_ids(MESSAGES[0]))
    (result,) = classify(model, labels, [query], cpu)
    with torch.no_grad():
        scores = torch.tensor(brute_force(model, list(query.prompt), labels))
    expected = [LABELS[index] for index in scores.argsort(descending=True)[:5] if scores.softmax(0)[index] > 1e-4]
    assert [entry.label for entry in result.prediction.top][: len(expected)] == expected


def test_a_confident_greedy_model_stays_in_the_set(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    """A model that was taught one answer by heart writes it freely, so ``left_set`` must be able to be False."""
    model = load_base(folder, cpu, trained=True, quantised=False)
    labels = encoder.label_set(LABELS)
    prompt = encoder.prompt_ids(MESSAGES[2])
    ids = torch.tensor([prompt + list(labels.token_ids[2])])
    targets = ids.clone()
    targets[:, : len(prompt)] = -100
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        model(input_ids=ids, labels=targets).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    (result,) = classify(model, labels, [Query(MESSAGES[2], prompt, 2)], cpu)
    assert result.prediction.predicted == "card_lost"
    assert not result.prediction.left_set
    assert result.prediction.outside_mass < 0.5


def test_probabilities_too_small_for_a_float(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    """Long labels under a sharp model: only their ratio can be represented, and it is still right."""
    model = load_base(folder, cpu, trained=False, quantised=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(60)
    names = ["z" * 90, "q" * 90, "zq" * 45]
    labels = encoder.label_set(names)
    prompt = encoder.prompt_ids("hi")
    (result,) = classify(model, labels, [Query("hi", prompt, 1)], cpu)
    with torch.no_grad():
        scores = torch.tensor(brute_force(model, prompt, labels), dtype=torch.float64)
    assert scores.max() < -745, "the test needs probabilities that underflow"
    assert result.prediction.predicted == names[int(scores.argmax())]
    assert math.isfinite(result.prediction.probability)


@pytest.mark.parametrize("label", [None, 1])
def test_scores_that_are_not_numbers_are_told(folder: Path, encoder: PromptEncoder, cpu: Compute, label: int | None) -> None:
    model = load_base(folder, cpu, trained=False, quantised=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(math.nan)
    labels = encoder.label_set(LABELS)
    with pytest.raises(StudioError, match="not finite"):
        classify(model, labels, [Query("hi", encoder.prompt_ids("hi"), label)], cpu)


def test_stop_and_progress(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    model = load_base(folder, cpu, trained=False, quantised=False)
    labels = encoder.label_set(LABELS)
    queries = [Query(text, encoder.prompt_ids(text)) for text in MESSAGES * 12]
    seen: list[int] = []
    with pytest.raises(InterruptedByUserError):
        classify(model, labels, queries, cpu, batch_size=3, progress=seen.append, should_stop=lambda: len(seen) == 2)
    assert len(seen) == 2
    assert 0 <= seen[0] <= seen[1] < len(queries)
    seen.clear()
    classify(model, labels, queries, cpu, batch_size=3, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(queries)


def test_modes_come_back(folder: Path, cpu: Compute) -> None:
    model = load_base(folder, cpu, trained=False, quantised=False)
    model.train()
    next(iter(model.children())).eval()
    before = [module.training for module in model.modules()]
    with predicting(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    assert [module.training for module in model.modules()] == before
