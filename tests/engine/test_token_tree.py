"""A batch as a tree of tokens: the same losses and gradients as plain transformers, whatever messages share."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    BloomForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GraniteConfig,
    GraniteForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from studio.core.config import MethodConfig
from studio.core.labels import LabelSet
from studio.data.prompts import Encoded
from studio.engine.batches import cut_batch
from studio.engine.classify import classify, reads_trees
from studio.engine.devices import Compute
from studio.engine.label_search import Query
from studio.engine.loop import backward
from studio.engine.methods import checkpoint_activations, trainable_model
from studio.engine.objective import PaddedObjective, TreeObjective, choose_objective
from studio.engine.token_tree import IGNORED, TokenTree
from tests.engine.conftest import relative
from tests.engine.test_loop import gradients, plain_loss

DEVICE = torch.device("cpu")


def row(ids: list[int], graded: int = 2) -> Encoded:
    return Encoded(ids, [False] * (len(ids) - graded) + [True] * graded, False)


# Alike at the beginning, wholly, but for the label, but for the end, contained in another one, and not at all.
ROWS = [
    row([0, 5, 6, 7, 8, 9, 20, 1]),
    row([0, 5, 6, 7, 8, 9, 20, 1]),
    row([0, 5, 6, 7, 8, 9, 21, 22, 1], 3),
    row([0, 5, 6, 7, 8, 9, 20, 23, 1], 3),
    row([0, 5, 6, 7, 20, 1]),
    row([0, 5, 6, *range(30, 70), 20, 1]),
    row([9, 8, 7, 20, 1]),
    row([5, 5], 1),
]


def test_a_beginning_is_one_node_and_every_message_finds_its_way() -> None:
    tree = TokenTree.of(ROWS, DEVICE)
    beginnings = {tuple(example.ids[:end]) for example in ROWS for end in range(1, len(example.ids))}
    assert tree.nodes == len(beginnings)
    assert tree.ids.shape == tree.positions.shape == (1, len(tree.places))
    assert len(tree.places) % 16 == 0
    graded = list(zip(tree.graded.tolist(), tree.targets.tolist(), strict=True))
    for path, example in zip(tree.paths, ROWS, strict=True):
        nodes = path[: len(example.ids) - 1]
        assert tree.ids[0, nodes].tolist() == example.ids[:-1]
        assert tree.positions[0, nodes].tolist() == list(range(len(nodes)))
        for node, following, supervised in zip(nodes.tolist(), example.ids[1:], example.supervised[1:], strict=True):
            if supervised:
                graded.remove((node, following))
    assert all(target == IGNORED for _, target in graded), "nothing else is graded"
    flat = tree.paths.flatten()
    assert flat[tree.places[: tree.nodes]].tolist() == list(range(tree.nodes))
    assert torch.equal(flat[tree.more_places], tree.shared[tree.more_of])
    assert len(set(tree.shared.tolist())) == len(tree.shared)


def test_what_many_messages_share_learns_from_each_in_bf16() -> None:
    """Added up in bf16, ones are no more than 256."""
    many = 700
    tree = TokenTree.of([row([3, 4, 10 + number % 50, 1]) for number in range(many)], DEVICE)
    states = torch.ones(1, 1, tree.ids.shape[1], 2, dtype=torch.bfloat16, requires_grad=True)
    tree.to_messages(states)[:, :, :3].sum().backward()
    assert states.grad is not None
    assert states.grad[0, 0, :3, 0].tolist() == [many + (-many) % 4, many + (-many) % 4, many / 50]


OTHERS = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "vocab_size": 128}
FEWER_HEADS = OTHERS | {"num_key_value_heads": 2}


def made(name: str) -> PreTrainedModel:
    torch.manual_seed(3)
    windows = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}
    models = {
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**FEWER_HEADS, **windows, tie_word_embeddings=True)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**FEWER_HEADS, head_dim=8, tie_word_embeddings=False)),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**FEWER_HEADS, sliding_window=9)),
        "granite": lambda: GraniteForCausalLM(GraniteConfig(**FEWER_HEADS, logits_scaling=8.0)),
        "phi": lambda: PhiForCausalLM(PhiConfig(**OTHERS)),
        "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**FEWER_HEADS, head_dim=8, final_logit_softcapping=0.1)),
        "bloom": lambda: BloomForCausalLM(BloomConfig(vocab_size=128, hidden_size=32, n_layer=2, n_head=4)),
    }
    model: PreTrainedModel = models[name]()
    model.config.use_cache = False
    return model


@pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("name", ["qwen2", "qwen3", "mistral", "phi"])
def test_gradients_are_those_of_plain_transformers(cpu: Compute, name: str, again: bool) -> None:
    """Sliding windows, tied and untied heads, a head with a bias; test_loop.py has Llama, Gemma 3 and GPT-2."""
    model = made(name)
    plain_loss(model, ROWS).backward()
    expected = gradients(model)
    model.zero_grad()
    objective = choose_objective(model, cpu, ROWS, pytest.fail)
    assert isinstance(objective, TreeObjective)
    if again:
        checkpoint_activations(model)
    model.train()
    backward(objective, cut_batch(ROWS, 5))
    found = gradients(model)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        assert relative(found[key] - gradient, gradient) < 1e-5, key


@pytest.mark.parametrize(
    ("name", "words"), [("gemma3", "more than its head"), ("granite", "more than its head"), ("bloom", "attention of the kind")]
)
def test_a_model_that_trees_are_wrong_for_is_trained_on_padded_messages(cpu: Compute, name: str, words: str) -> None:
    """One squashes its scores after the head, one scales them, the other counts distances itself."""
    model = made(name)
    before = model.config._attn_implementation
    told: list[str] = []
    objective = choose_objective(model, cpu, ROWS, told.append)
    assert isinstance(objective, PaddedObjective)
    (sentence,) = told
    assert words in sentence
    assert model.config._attn_implementation == before
    plain_loss(model, ROWS).backward()
    expected = gradients(model)
    model.zero_grad()
    backward(objective, cut_batch(ROWS, 5))
    for key, gradient in gradients(model).items():
        assert relative(gradient - expected[key], expected[key]) < 1e-5, key


def learn_by_heart(model: PreTrainedModel, sample: list[Encoded], until: float) -> None:
    """Train until the loss is below ``until``."""
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    while (loss := plain_loss(model, sample)).item() > until:
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_model_that_was_asked_before_is_trained_on_trees_all_the_same(cpu: Compute) -> None:
    """A run predicts with its untrained base before it trains."""
    model = made("qwen3")
    labels = LabelSet.build(["a", "b"], [[5, 1], [6, 1]])
    classify(model, labels, [Query("text", [2, 3, 30, 4])], cpu)
    assert reads_trees(model)
    assert isinstance(choose_objective(model, cpu, ROWS, pytest.fail), TreeObjective)


def test_scores_that_are_scaled_after_the_head_are_noticed_in_a_model_that_is_sure(cpu: Compute) -> None:
    """Its loss and its best label are the same with and without."""
    model = made("granite")
    sample = [ROWS[0], *ROWS[4:7]]
    learn_by_heart(model, sample, 1e-3)
    told: list[str] = []
    assert isinstance(choose_objective(model, cpu, sample, told.append), PaddedObjective)
    assert told
    first = next(index for index, graded in enumerate(ROWS[0].supervised) if graded)
    labels = LabelSet.build(["a", "b"], [list(ROWS[0].ids[first:]), [7, 1]])
    classify(model, labels, [Query("text", ROWS[0].ids[:first])], cpu)
    assert reads_trees(model) is False


def test_messages_known_by_heart_are_still_read_as_a_tree(cpu: Compute) -> None:
    """What is left of their loss is the rounding of large scores, which each way of computing rounds otherwise."""
    model = made("qwen3")
    sample = [ROWS[0], *ROWS[4:7]]
    learn_by_heart(model, sample, 1e-5)
    assert isinstance(choose_objective(model, cpu, sample, pytest.fail), TreeObjective)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_an_embedding_that_is_the_head_too_gets_both_gradients(folder: Path, cpu: Compute, kind: str) -> None:
    """Also when a batch is cut, and again at the next step."""
    method = MethodConfig(kind=kind, dropout=0.0)  # type: ignore[arg-type]  # parametrised
    ours, plain = (trainable_model(folder, method, cpu, seed=1) for _ in range(2))
    objective = choose_objective(ours, cpu, ROWS, pytest.fail)
    for batch, _ in itertools.product((ROWS[:3], ROWS[2:]), range(2)):
        plain_loss(plain, batch).backward()
        backward(objective, cut_batch(batch, 2))
        expected, found = gradients(plain), gradients(ours)
        assert found.keys() == expected.keys()
        for key, gradient in expected.items():
            assert relative(found[key] - gradient, gradient) < 1e-5, key
            assert not found[key].is_sparse
        for model in (ours, plain):
            model.zero_grad()


def test_a_model_is_asked_as_before(folder: Path, cpu: Compute) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([[0, 5, 6, 7, 8, 9, *range(30, 60)]])
    with torch.no_grad():
        before = model(ids).logits
        choose_objective(model, cpu, ROWS, pytest.fail)
        assert torch.equal(model(ids).logits, before)
