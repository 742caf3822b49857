"""How fast messages are classified, against labels written by transformers' ``generate``. `make bench-classification` prints it.

    python -m tests.benchmarks.classification RUN MESSAGES.csv [--model FOLDER] [--messages 500] [--truth 500] [--json FILE]

All ways have the same model in memory, in fp32, and take turns on the same blocks of messages, so that whatever else the
machine does falls on all of them alike. What counts is the CPU time of a single thread. The answers are compared with brute
force: every label of some messages scored by a forward of its own over the whole sequence, normalised in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
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
from studio.engine.classify import predicting
from studio.engine.devices import choose_compute
from studio.engine.exactness import prepare_for_prediction
from studio.engine.methods import load_method_base, trained_model
from studio.engine.models import load_tokenizer
from studio.engine.predictor import Predictor, kept_checkpoint

OURS = "this program"
Way = Callable[[Sequence[str]], object]


def ways(predictor: Predictor) -> dict[str, Way]:
    """Name and function of each way to classify a block of messages."""
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

    def within_the_labels(texts: Sequence[str]) -> None:
        width = max(len(encoder.prompt_ids(text)) for text in texts)

        def allowed(_row: int, ids: torch.Tensor) -> list[int]:
            node = labels.root
            for token in ids[width:].tolist():
                if node.label is not None:
                    break
                node = node.children[token]
            return list(node.children) or [encoder.end_token_id]

        written(texts, prefix_allowed_tokens_fn=allowed)

    return {
        OURS: predictor.classify,
        "generate, one message": one_by_one,
        "generate, a batch": written,
        "generate, a batch, prefix_allowed_tokens_fn": within_the_labels,
    }


def measure(contenders: dict[str, Way], texts: Sequence[str], block: int) -> list[dict[str, Any]]:
    """Median CPU milliseconds a message, and how many times as long as ours, the median over blocks of ``block`` messages."""
    names = list(contenders)
    for name in names:  # what is made on first use does not count
        contenders[name](texts[:1])
    spent: dict[str, list[float]] = {name: [] for name in names}
    for number, start in enumerate(range(0, len(texts), block)):
        part = texts[start : start + block]
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            began = time.thread_time()
            contenders[name](part)
            spent[name].append((time.thread_time() - began) / len(part))
    return [
        {
            "way": name,
            "ms": 1000 * statistics.median(spent[name]),
            "times": statistics.median(theirs / ours for theirs, ours in zip(spent[name], spent[OURS], strict=True)),
        }
        for name in names
    ]


def brute_force(predictor: Predictor, text: str, at_once: int = 16) -> torch.Tensor:
    """Probability of each label, float64 (labels,)."""
    model: Any = predictor.model
    prompt, token_ids = predictor.encoder.prompt_ids(text), predictor.labels.token_ids
    scores = []
    with predicting(model):
        for start in range(0, len(token_ids), at_once):
            part = token_ids[start : start + at_once]
            width = max(map(len, part))
            # On the right, where no causal model looks.
            ids = torch.tensor([[*prompt, *label, *[0] * (width - len(label))] for label in part])
            logits = model(input_ids=ids, logits_to_keep=width + 1).logits
            for row, label in enumerate(part):
                found = logits[row, : len(label)].double().log_softmax(-1)
                scores.append(found[range(len(label)), list(label)].sum())
    return torch.stack(scores).softmax(0)


def differences(predictor: Predictor, texts: Sequence[str]) -> dict[str, Any]:
    """How often the answer is another than brute force's, and the largest difference of a probability."""
    others, largest = 0, 0.0
    for text, found in zip(texts, predictor.classify(texts), strict=True):
        expected = brute_force(predictor, text)
        others += int(expected.argmax()) != predictor.labels.index(found.prediction.predicted)
        for entry in found.prediction.top:
            largest = max(largest, abs(entry.probability - float(expected[predictor.labels.index(entry.label)])))
    return {"messages": len(texts), "other_answers": others, "largest_difference": largest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("data", type=Path, help="labelled messages; all their labels are told apart")
    parser.add_argument("--model", type=Path, help="the folder of the run's base, where the run names none")
    parser.add_argument("--messages", type=int, default=32)
    parser.add_argument("--truth", type=int, default=4, help="messages that are compared with brute force")
    parser.add_argument("--block", type=int, default=32, help="messages computed together")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    run = RunFolder(arguments.run)
    config = run.config()
    folder = arguments.model or Path(config.model.base)
    examples, _, _ = examples_of(load_table(arguments.data), None, None, None)
    names = sorted({example.label for example in examples})
    random.Random(0).shuffle(examples)
    texts = [example.text for example in examples]
    compute = choose_compute(DeviceConfig(kind="cpu"), "fp32", 1)
    encoder = PromptEncoder(load_tokenizer(folder), config.prompt)
    labels = encoder.label_set(names)
    tuned = prepare_for_prediction(trained_model(folder, kept_checkpoint(run), config.method, compute), compute)
    predictor = Predictor(tuned, encoder, labels, compute)
    load = os.getloadavg()[0]
    table = measure(ways(predictor), texts[: arguments.messages], arguments.block)
    print(f"{len(names)} labels, {arguments.messages} messages in blocks of {arguments.block}, one thread, load {load:.1f}\n")
    print(f"{'way':<46}{'CPU ms a message':>18}{'times ours':>12}")
    for row in table:
        print(f"{row['way']:<46}{row['ms']:>18.1f}{row['times']:>12.2f}", flush=True)
    truth = {"tuned": differences(predictor, texts[: arguments.truth])}
    del predictor, tuned
    base = prepare_for_prediction(load_method_base(folder, config.method, compute), compute)
    truth["untrained"] = differences(Predictor(base, encoder, labels, compute), texts[: arguments.truth])
    for name, found in truth.items():
        print(
            f"{name}: {found['other_answers']} of {found['messages']} answers are not brute force's; "
            f"largest difference of a probability {found['largest_difference']:.1e}"
        )
    if arguments.json:
        figures = {"labels": len(names), "messages": arguments.messages, "block": arguments.block, "load": load}
        arguments.json.write_text(json.dumps({**figures, "ways": table, "truth": truth}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
