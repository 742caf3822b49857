"""How fast messages are classified, against labels written by transformers' ``generate``. `make bench-classification` prints it.

    python -m tests.benchmarks.classification RUN MESSAGES.csv [--model FOLDER] [--rounds 3] [--truth 20] [--json FILE]

Each way runs in fresh processes, which take turns, so that whatever else the machine does falls on all of them alike. In each
round ours classifies all messages, in another order, and the others as many of their first ones as are enough. They take them as
they come, with torch's own products of matrices and the C library's own way with memory. All have the same weights, in fp32. With
one thread its CPU time counts, else time as it passes. The answers are compared with brute force: every label of some messages
scored in full by the model's own forward, normalised in float64.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from studio.core.config import DeviceConfig
from studio.core.runs import RunFolder
from studio.data.prompts import PromptEncoder
from studio.data.sources import examples_of
from studio.data.tables import load_table
from studio.engine import devices
from studio.engine.classify import predicting
from studio.engine.devices import choose_compute
from studio.engine.exactness import prepare_for_prediction
from studio.engine.methods import load_method_base, trained_model
from studio.engine.models import load_tokenizer
from studio.engine.predictor import Predictor, kept_checkpoint
from studio.supervise.environment import computing_environment

OURS = "this program"
WAYS = [OURS, "generate, one message", "generate, a batch", "generate, a batch, prefix_allowed_tokens_fn"]
_ENOUGH = {"generate, one message": 24, "generate, a batch": 128, "generate, a batch, prefix_allowed_tokens_fn": 128}
"""Messages that are enough of the slow ways."""
_BATCH = 32
"""Messages in a batch of ``generate``, which takes more time for each of 128."""
Way = Callable[[Sequence[str]], object]


def ways(predictor: Predictor) -> dict[str, Way]:
    """Name and function of each way to classify messages."""
    model: Any = predictor.model
    encoder, labels = predictor.encoder, predictor.labels
    longest = max(map(len, labels.token_ids))

    def written(texts: Sequence[str], **options: Any) -> None:
        prompts = [encoder.prompt_ids(text) for text in texts]
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        with predicting(model):
            model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                use_cache=True,
                max_new_tokens=longest,
                eos_token_id=encoder.end_token_id,
                pad_token_id=encoder.end_token_id,
                **options,
            )

    def one_by_one(texts: Sequence[str]) -> None:
        for text in texts:
            written([text])

    def in_batches(texts: Sequence[str], write: Way = written) -> None:
        for start in range(0, len(texts), _BATCH):
            write(texts[start : start + _BATCH])

    def within_the_labels(texts: Sequence[str]) -> None:
        in_batches(texts, allowed_only)

    def allowed_only(texts: Sequence[str]) -> None:
        width = max(len(encoder.prompt_ids(text)) for text in texts)

        def allowed(_row: int, ids: torch.Tensor) -> list[int]:
            node = labels.root
            for token in ids[width:].tolist():
                if node.label is not None:
                    break
                node = node.children[token]
            return list(node.children) or [encoder.end_token_id]

        written(texts, prefix_allowed_tokens_fn=allowed)

    return dict(zip(WAYS, (predictor.classify, one_by_one, in_batches, within_the_labels), strict=True))


def seconds_of(way: Way, texts: Sequence[str]) -> float:
    """Seconds a message: the CPU time of a single thread, or time as it passes of several."""
    way(texts[:1])  # what is made on first use does not count
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    way(texts)
    return (clock() - began) / len(texts)


def table_of(spent: dict[str, list[float]]) -> list[dict[str, Any]]:
    """``spent`` has seconds a message of each way and round: their median in ms, and that of how many times ours they are."""
    return [
        {
            "way": name,
            "ms": 1000 * statistics.median(seconds),
            "times": statistics.median(theirs / ours for theirs, ours in zip(seconds, spent[OURS], strict=True)),
        }
        for name, seconds in spent.items()
    ]


def log_probabilities(scores: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """Of ``tokens[i]`` where the scores are ``scores[i]``, float64 (n,). torch's own log_softmax is off by 2e-5 where the
    vocabulary has 262,144 words; this by 1e-6. Row by row, so that what is made of a row stays in the cache."""
    found = torch.empty(len(tokens), dtype=torch.float64)
    for place, (row, token) in enumerate(zip(scores, tokens, strict=True)):
        highest = row.amax()
        found[place] = row[token] - highest - (row - highest).exp().sum(dtype=torch.float64).log()
    return found


def brute_force(predictor: Predictor, text: str, at_once: int = 16) -> torch.Tensor:
    """Probability of each label, float64 (labels,): every label after the prompt's cache, as transformers reads it."""
    model: Any = predictor.model
    prompt, token_ids = predictor.encoder.prompt_ids(text), predictor.labels.token_ids
    by_length = sorted(range(len(token_ids)), key=lambda label: len(token_ids[label]))
    scores = torch.empty(len(token_ids), dtype=torch.float64)
    with predicting(model):
        read = model(input_ids=torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
        first = read.logits[0, -1:]
        for start in range(0, len(token_ids), at_once):
            part = by_length[start : start + at_once]
            width = max(len(token_ids[label]) for label in part)
            # On the right, where no causal model looks; a label's last token is only ever predicted.
            ids = torch.tensor([[*token_ids[label], *[0] * (width - len(token_ids[label]))] for label in part])
            cache = copy.deepcopy(read.past_key_values)
            cache.batch_repeat_interleave(len(part))
            logits = model(input_ids=ids[:, :-1], past_key_values=cache).logits if width > 1 else None
            for row, label in enumerate(part):
                tokens = list(token_ids[label])
                scores[label] = log_probabilities(first, tokens[:1]).sum()
                if logits is not None:
                    scores[label] += log_probabilities(logits[row, : len(tokens) - 1], tokens[1:]).sum()
    return scores.softmax(0)


def differences(predictor: Predictor, texts: Sequence[str]) -> dict[str, Any]:
    """How often the answer is another than brute force's, and the largest difference of a probability."""
    others, largest = 0, 0.0
    for text, found in zip(texts, predictor.classify(texts), strict=True):
        expected = brute_force(predictor, text)
        others += int(expected.argmax()) != predictor.labels.index(found.prediction.predicted)
        for entry in found.prediction.top:
            largest = max(largest, abs(entry.probability - float(expected[predictor.labels.index(entry.label)])))
    return {"messages": len(texts), "other_answers": others, "largest_difference": largest}


def load(arguments: argparse.Namespace, trained: bool = True) -> tuple[Predictor, list[str]]:
    """The model of a run, or its untrained base, over all labels of the data; and the messages, shuffled."""
    torch.set_num_threads(arguments.threads)
    run = RunFolder(arguments.run)
    config = run.config()
    folder = arguments.model or Path(config.model.base)
    examples, _, _ = examples_of(load_table(arguments.data))
    names = sorted({example.label for example in examples})
    random.Random(0).shuffle(examples)
    compute = choose_compute(DeviceConfig(kind="cpu"), "fp32", arguments.threads)
    encoder = PromptEncoder(load_tokenizer(folder), config.prompt)
    weights = trained_model(folder, kept_checkpoint(run), config.method, compute) if trained else None
    model = prepare_for_prediction(weights or load_method_base(folder, config.method, compute), compute)
    return Predictor(model, encoder, encoder.label_set(names), compute), [example.text for example in examples]


def run_way(arguments: argparse.Namespace) -> None:
    """In a process of its own: print the seconds a message of one way in one round."""
    if arguments.way != OURS:
        devices.multiply_with_onednn = lambda: None  # ours alone, which other programs do not have
    predictor, texts = load(arguments)
    random.Random(arguments.round).shuffle(texts)
    texts = texts[: arguments.messages]
    print(json.dumps(seconds_of(ways(predictor)[arguments.way], texts[: _ENOUGH.get(arguments.way)])))


def compare(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds a message of each way in each round."""
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(arguments.rounds):
        turn = number % len(WAYS)
        for name in WAYS[turn:] + WAYS[:turn]:
            asked = ["--way", name, "--round", str(number)]
            command = [sys.executable, "-m", "tests.benchmarks.classification", *sys.argv[1:], *asked]
            environment = computing_environment() if name == OURS else None
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
            spent[name].append(float(json.loads(said.splitlines()[-1])))
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("data", type=Path, help="labelled messages; all their labels are told apart")
    parser.add_argument("--model", type=Path, help="the folder of the run's base, where the run names none")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured (3); 0: brute force alone")
    parser.add_argument("--messages", type=int, help="how many messages ours classifies in a round (all)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--truth", type=int, default=20, help="messages that are compared with brute force, at both models (20)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--round", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_way(arguments)
        return

    before = os.getloadavg()[0]
    table = table_of(compare(arguments)) if arguments.rounds else []
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, load {before:.1f} at the start\n")
    print(f"{'way':<46}{'ms a message':>14}{'times ours':>12}")
    for row in table:
        print(f"{row['way']:<46}{row['ms']:>14.1f}{row['times']:>12.2f}", flush=True)
    truth = {}
    for name, trained in (("tuned", True), ("untrained", False)):
        predictor, texts = load(arguments, trained)
        truth[name] = found = differences(predictor, texts[: arguments.truth])
        print(
            f"{name}: {found['other_answers']} of {found['messages']} answers are not brute force's; "
            f"largest difference of a probability {found['largest_difference']:.1e}",
            flush=True,
        )
    if arguments.json:
        settings = {name: str(value) for name, value in vars(arguments).items()}
        arguments.json.write_text(
            json.dumps({"settings": settings, "load": before, "ways": table, "truth": truth}, indent=1), "utf-8"
        )


if __name__ == "__main__":
    main()
