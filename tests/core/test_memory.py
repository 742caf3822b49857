"""The forecast's arithmetic, checked by hand on a model of 1,000 parameters, and held to real models' known figures."""

from __future__ import annotations

from typing import Any

import pytest

from studio.core.batch_sizes import micro_batch_for
from studio.core.config import MethodConfig, RunConfig
from studio.core.fit import find_fit, verdict
from studio.core.memory import FRAMEWORK_BYTES, Lengths, MemoryForecast, estimate_lengths, forecast
from studio.core.model_description import LinearShape, ModelDescription, adapter_parameters
from studio.core.run_file import validate_run_config

MODEL = ModelDescription(
    base="b",
    name="n",
    architecture="a",
    licence="l",
    parameters=1_000,
    linears=[LinearShape(name="q_proj", inputs=4, outputs=6, count=2), LinearShape(name="up_proj", inputs=4, outputs=8, count=3)],
    hidden=4,
    intermediate=8,
    layers=2,
    heads=2,
    vocabulary=200,
    disk_bytes=2_000,
    context_length=64,
)
# Two messages of 24 tokens, of which they share none; 16 tokens are graded.
LENGTHS = Lengths(micro_batch=2, tokens=24, nodes=48, supervised=16, shared=0, most_supervised=8)


def predict(kind: str, **changes: Any) -> MemoryForecast:
    return forecast_of(MODEL, kind, **changes)


def forecast_of(model: ModelDescription, kind: str, lengths: Lengths = LENGTHS, rank: int = 2, **changes: Any) -> MemoryForecast:
    settings: dict[str, Any] = {"precision": "fp32", "device": "cpu"}
    return forecast(model, MethodConfig.model_validate({"kind": kind, "rank": rank}), lengths, **(settings | changes))


def test_linear_parameters() -> None:
    assert MODEL.linear_parameters == 2 * 4 * 6 + 3 * 4 * 8 == 144


@pytest.mark.parametrize(
    ("rank", "modules", "expected"),
    [
        (1, "all-linear", 2 * 10 + 3 * 12),
        (16, "all-linear", 16 * 56),
        (16, ["q_proj"], 16 * 20),
        (16, ["q_proj", "up_proj"], 16 * 56),
        (16, ["none"], 0),
    ],
)
def test_adapter_parameters(rank: int, modules: Any, expected: int) -> None:
    assert adapter_parameters(MODEL, MethodConfig(rank=rank, target_modules=modules)) == expected


def test_adapter_of_a_known_model() -> None:
    # Gemma 3 270M: 18 layers, hidden 640, 4 heads and 1 key-value head of 256, MLP 2048. Rank 16 on all linear layers.
    shapes = [("q_proj", 640, 1024), ("k_proj", 640, 256), ("v_proj", 640, 256), ("o_proj", 1024, 640)]
    shapes += [("gate_proj", 640, 2048), ("up_proj", 640, 2048), ("down_proj", 2048, 640)]
    linears = [LinearShape(name=name, inputs=inputs, outputs=outputs, count=18) for name, inputs, outputs in shapes]
    model = MODEL.model_copy(update={"linears": linears})
    assert adapter_parameters(model, MethodConfig(rank=16)) == 3_796_992


def test_full_pays_for_every_weight() -> None:
    whole = predict("full")
    assert whole.trainable_parameters == 1_000
    assert (whole.weights, whole.adapter, whole.gradients, whole.optimizer) == (4_000, 0, 4_000, 8_000)
    assert whole.output_bytes == 4_000
    # Trainable weights stay in fp32 whatever the arithmetic; autocast adds a copy in the compute type.
    assert predict("full", precision="bf16").weights == 4_000 + 2_000


def test_averages_in_8_bits_are_a_quarter_but_unpacked_on_a_cpu() -> None:
    """But those of the embedding, 200 x 4 of the 1,000 weights, which stay whole."""
    averages = round(800 * 8 + 200 * 2 * (1 + 4 / 256))
    assert predict("full", device="cuda", optimizer="adamw8bit").optimizer == averages
    on_cpu = predict("full", optimizer="adamw8bit")
    unpacked = round(MODEL.hidden * MODEL.intermediate * 22) - on_cpu.activations - on_cpu.logits
    assert on_cpu.optimizer == averages + max(0, unpacked)


def test_lora_pays_for_the_adapter_alone() -> None:
    lora = predict("lora")
    assert lora.trainable_parameters == 112
    assert (lora.weights, lora.adapter, lora.gradients, lora.optimizer) == (4_000, 448, 448, 896)
    assert lora.output_bytes == 448
    bf16 = predict("lora", precision="bf16")
    assert (bf16.weights, bf16.adapter, bf16.gradients) == (2_000, 448, 448)


def test_qlora_shrinks_the_linear_layers() -> None:
    # 144 weights of 4.127 bits, the other 856 in the arithmetic's type.
    assert predict("qlora").weights == round(144 * 4.127 / 8) + 856 * 4
    assert predict("qlora", precision="bf16").weights == round(144 * 4.127 / 8) + 856 * 2


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_parts_add_up(kind: str, device: Any) -> None:
    result = predict(kind, device=device)
    fixed = {"full": 4_000 + 4_000 + 8_000, "lora": 4_000 + 448 + 448 + 896, "qlora": 74 + 856 * 4 + 448 + 448 + 896}[kind]
    assert result.total == fixed + result.activations + result.logits + result.predictions + result.framework
    assert result.framework >= FRAMEWORK_BYTES[device]


def model(parameters: int, hidden: int, layers: int, heads: int, vocabulary: int, shapes: dict[str, tuple[int, int]]) -> Any:
    """A real model by its published shapes; ``shapes`` of the linear layers of one layer."""
    linears = [LinearShape(name=name, inputs=inputs, outputs=outputs, count=layers) for name, (inputs, outputs) in shapes.items()]
    return MODEL.model_copy(
        update={"parameters": parameters, "linears": linears, "hidden": hidden, "layers": layers, "heads": heads}
        | {"vocabulary": vocabulary, "intermediate": shapes["up_proj"][1]}
    )


def shapes(hidden: int, query: int, key_value: int, intermediate: int) -> dict[str, tuple[int, int]]:
    attention = {"q_proj": (hidden, query), "k_proj": (hidden, key_value), "v_proj": (hidden, key_value), "o_proj": (query, hidden)}
    mlp = {"gate_proj": (hidden, intermediate), "up_proj": (hidden, intermediate), "down_proj": (intermediate, hidden)}
    return attention | mlp


LLAMA_2_7B = model(6_738_415_616, 4096, 32, 32, 32_000, shapes(4096, 4096, 4096, 11_008))
QWEN_2_5_7B = model(7_615_616_512, 3584, 28, 28, 152_064, shapes(3584, 3584, 512, 18_944))
LLAMA_3_2_1B = model(1_235_814_400, 2048, 16, 32, 128_256, shapes(2048, 2048, 512, 8192))
GEMMA_3_270M = model(268_098_176, 640, 18, 4, 262_144, shapes(640, 1024, 256, 2048))


@pytest.mark.parametrize("known", [LLAMA_2_7B, QWEN_2_5_7B, LLAMA_3_2_1B, GEMMA_3_270M])
def test_full_fine_tuning_takes_sixteen_bytes_a_parameter(known: ModelDescription) -> None:
    result = forecast_of(known, "full", device="cuda")
    assert result.weights + result.gradients + result.optimizer == 16 * known.parameters


@pytest.mark.parametrize(
    ("known", "adapter", "quantised"),
    [
        # Adapter weights of rank 16 on all linear layers, as peft counts them; weights in 4 bits, as in the models' papers.
        (LLAMA_2_7B, 39_976_960, 6_476_005_376),
        (QWEN_2_5_7B, 40_370_176, 6_525_288_448),
        (LLAMA_3_2_1B, 11_272_192, 973_078_528),
        (GEMMA_3_270M, 3_796_992, 100_270_080),
    ],
)
def test_adapters_of_known_models(known: ModelDescription, adapter: int, quantised: int) -> None:
    lora = forecast_of(known, "lora", rank=16, precision="bf16", device="cuda")
    assert lora.trainable_parameters == adapter
    assert (lora.weights, lora.gradients, lora.optimizer) == (2 * known.parameters, 4 * adapter, 8 * adapter)
    assert known.linear_parameters == quantised
    qlora = forecast_of(known, "qlora", rank=16, precision="bf16", device="cuda")
    # Dettmers et al., section 3: 4.127 bits a quantised weight; embeddings and norms stay.
    assert qlora.weights == round(quantised * 4.127 / 8) + 2 * (known.parameters - quantised)


def test_predicting_in_fp32_counts_where_training_needs_less() -> None:
    large = MODEL.model_copy(update={"parameters": 10_000_000})

    def beyond(kind: str, device: Any = "cpu", precision: str = "bf16", lengths: Lengths = LENGTHS) -> int:
        return forecast_of(large, kind, lengths, device=device, precision=precision).predictions

    quantised = large.linear_parameters
    assert beyond("lora", "mps") - beyond("qlora", "mps") == 2 * quantised
    assert beyond("lora") - beyond("qlora") == 4 * quantised, "the narrow weights are a file that stays mapped meanwhile"
    assert beyond("lora") - beyond("full") >= 4 * large.parameters - 100_000, "trained weights are in fp32 already"
    assert beyond("lora") > beyond("lora", precision="fp32")
    assert beyond("lora", "mps") > beyond("lora", "cuda"), "on CUDA predictions are in the type of training"
    few = LENGTHS._replace(predicted=3)
    assert beyond("lora", precision="fp32", lengths=few) < beyond("lora", precision="fp32"), "a small split has less to keep"
    assert beyond("lora", lengths=few) == beyond("lora"), "the widening of all weights needs more than their first predictions"
    many = LENGTHS._replace(nodes=10_000_000)
    assert beyond("lora", lengths=many) == 0, "by then the activations of a training step are gone"


def test_no_more_messages_are_predicted_at_once_than_the_engine_takes() -> None:
    """Prompts of 64 tokens of a 7B take 32 MiB each: eight are asked at once, however many there are."""

    def beyond(predicted: int) -> int:
        lengths = Lengths(1, 64, 64, 8, shared=63, most_supervised=8, predicted=predicted)
        return forecast_of(LLAMA_2_7B, "qlora", lengths, precision="bf16", device="cuda", activation_checkpointing=True).predictions

    assert beyond(7) < beyond(8) == beyond(512) < 1.5 * 2**30


def test_short_messages_are_predicted_in_larger_groups() -> None:
    """One long message makes a group of long ones smaller, but not that of the short ones, whose labels count too."""

    def beyond(shared: int) -> int:
        lengths = Lengths(1, 512, 512, 8, shared=shared, most_supervised=8)
        return forecast_of(LLAMA_2_7B, "qlora", lengths, precision="bf16", device="cuda", activation_checkpointing=True).predictions

    token = 2 * 4096 * 32 * 2
    assert beyond(15) - beyond(511) == pytest.approx((2**28 // (16 * token) - 1) * 8 * token * 1.1, abs=2)


def test_the_heads_gradient_keeps_its_room_while_predicting() -> None:
    one = Lengths(1, 64, 64, 8, shared=63, most_supervised=8)

    def in_use(words: int) -> int:
        found = forecast_of(GEMMA_3_270M.model_copy(update={"vocabulary": words}), "full", one)
        assert found.predictions > 0
        return found.predictions + found.activations + found.logits

    assert in_use(262_144) - in_use(252_144) == 10_000 * 640 * 4


def test_mps_makes_the_embeddings_gradient_beside_the_heads() -> None:
    tied = MODEL.model_copy(update={"parameters": 40_000_000, "vocabulary": 200_000, "hidden": 100})
    assert forecast_of(tied, "full", device="mps").activations == 200_000 * 100 * 4
    untied = tied.model_copy(update={"tied": False})
    assert forecast_of(untied, "full", device="mps").activations < 200_000 * 100 * 4


def test_what_else_a_layer_makes_is_no_key_or_value() -> None:
    """As in models that make what the MLP reads in one layer, or that read pictures too."""
    joined = shapes(2048, 2048, 512, 8192) | {"gate_up_proj": (2048, 16_384)}
    made = model(1_235_814_400, 2048, 16, 32, 128_256, joined)
    known = made.model_copy(update={"key_value_width": 1024})
    token = 16 * 24 * 2 * 4  # layers, tokens of two messages, bytes
    more = forecast_of(made, "lora").activations - forecast_of(known, "lora").activations
    assert more == pytest.approx(16_384 * token * 1.2, abs=2)
    same = LLAMA_3_2_1B.model_copy(update={"key_value_width": 1024})
    assert forecast_of(same, "lora") == forecast_of(LLAMA_3_2_1B, "lora")


def test_longer_messages_are_more_tokens_up_to_the_bound() -> None:
    short, long, longest = (estimate_lengths("x" * size, "label", RunConfig(), "cpu").tokens for size in (40, 400, 40_000))
    assert short < long < longest == RunConfig().prompt.max_length


def test_logits_are_one_table_of_the_graded_tokens_and_its_pieces_in_fp32() -> None:
    assert predict("lora").logits == 16 * 200 * (4 + 4 + 4)
    assert predict("lora", precision="bf16").logits == 16 * 200 * (2 + 4 + 4)
    assert predict("lora", lengths=LENGTHS._replace(supervised=17)).logits == 2 * predict("lora").logits, "in steps of 16"
    assert predict("lora", lengths=LENGTHS._replace(tokens=20)).logits == predict("lora").logits


def test_checkpointed_activations_are_one_layer_and_every_layers_input() -> None:
    whole, kept = predict("lora"), predict("lora", activation_checkpointing=True)
    # 48 tokens, two layers 4 wide, fp32. A fifth of what all layers keep are gaps, also where one at a time does.
    layers = whole.activations / 1.2
    assert kept.activations == pytest.approx(layers / 2 + 2 * (48 * 4 * 4) + layers / 5, abs=2)
    assert kept.activations < whole.activations


def test_activations_follow_the_tokens_that_are_computed() -> None:
    base = predict("lora")
    twice = LENGTHS._replace(micro_batch=4, nodes=96)
    assert predict("lora", lengths=twice).activations == pytest.approx(2 * base.activations, abs=2)
    shared = LENGTHS._replace(nodes=32)
    assert predict("lora", lengths=shared).activations < base.activations, "what messages share is computed once"
    assert predict("lora", precision="bf16", device="cuda").activations < predict("lora", device="cuda").activations


def test_gradients_of_every_weight_take_the_place_of_activations() -> None:
    lengths = LENGTHS._replace(nodes=1600)
    whole, cut = predict("full", lengths=lengths), predict("full", lengths=lengths, cut=True)
    # The head's gradient, 200 x 4, exists with all activations; the others come as activations go.
    assert cut.activations - whole.activations == 4_000 - 200 * 4 * 4


def test_other_micro_batches_are_bounded() -> None:
    of = Lengths(micro_batch=16, tokens=64, nodes=600, supervised=50, shared=10, most_supervised=10).of
    found = {count: (of(count).nodes, of(count).supervised) for count in (1, 2, 16, 17, 33)}
    assert found == {1: (64, 10), 2: (118, 20), 16: (600, 50), 17: (10 + 17 * 54, 100), 33: (1792, 150)}


class TestFit:
    @pytest.mark.parametrize("kind", ["full", "lora"])
    def test_it_is_what_trying_all_would_find(self, kind: str) -> None:
        """Full fine-tuning of a whole batch may need less than of a part of it."""
        lengths = Lengths(micro_batch=16, tokens=60, nodes=560, supervised=96, shared=5, most_supervised=8)

        def at(method: MethodConfig, messages: int, recomputed: bool) -> MemoryForecast:
            return forecast_of(
                LLAMA_3_2_1B, method.kind, lengths.of(messages), activation_checkpointing=recomputed, cut=messages < 16
            )

        method = MethodConfig.model_validate({"kind": kind, "rank": 2})
        needed = {messages: at(method, messages, False).total for messages in range(1, 17)}
        for available in sorted({*needed.values(), *(total - 1 for total in needed.values())}):
            fitting = [messages for messages, total in needed.items() if total <= available]
            assert find_fit(at, method, 16, False, available).micro_batch == max(fitting, default=None)

    def test_the_largest_micro_batch_is_exact(self) -> None:
        method = MethodConfig(kind="lora")
        lengths = Lengths(micro_batch=8, tokens=1_000, nodes=8_000, supervised=64, shared=0, most_supervised=8)

        def at(method: MethodConfig, messages: int, recomputed: bool) -> MemoryForecast:
            return forecast(
                LLAMA_3_2_1B, method, lengths.of(messages), precision="bf16", device="cuda", activation_checkpointing=recomputed
            )

        for messages in (1, 5, 8):
            assert find_fit(at, method, 8, False, at(method, messages, False).total).micro_batch == messages
            just_under = find_fit(at, method, 8, False, at(method, messages, False).total - 1)
            assert just_under.micro_batch == (messages - 1 or None)
        assert find_fit(at, method, 8, False, 10**15).sentence == "Up to 8 messages at once fit."

    def test_when_none_fits_the_smallest_change_that_would_is_named(self) -> None:
        lengths = Lengths(micro_batch=8, tokens=20_000, nodes=160_000, supervised=64, shared=0, most_supervised=8)

        def at(method: MethodConfig, messages: int, recomputed: bool) -> MemoryForecast:
            return forecast(
                LLAMA_3_2_1B, method, lengths.of(messages), precision="bf16", device="cuda", activation_checkpointing=recomputed
            )

        def change(kind: str, available: int, recomputed: bool = False) -> str:
            found = find_fit(at, MethodConfig.model_validate({"kind": kind}), 8, recomputed, available)
            assert found.micro_batch is None
            assert found.change in found.sentence
            return found.change

        method = MethodConfig(kind="lora")
        assert "activation checkpointing" in change("lora", at(method, 1, True).total)
        assert "QLoRA" in change("lora", at(method.model_copy(update={"kind": "qlora"}), 1, True).total, True)
        assert change("full", at(method, 1, True).total, True) == "choose LoRA"
        assert change("full", at(method, 1, True).total) == "choose LoRA and turn on activation checkpointing"
        assert "smaller model" in change("full", 1)


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_micro_batch_is_the_given_one_or_fits_the_batch(device: Any) -> None:
    assert micro_batch_for(RunConfig().with_training(batch_size=12, micro_batch=7), device) == 7
    assert micro_batch_for(RunConfig().with_training(batch_size=2), device) == 2
    assert 1 <= micro_batch_for(RunConfig(), device) <= RunConfig().training.batch_size


def test_lengths_are_guessed_from_characters() -> None:
    config = validate_run_config({"prompt": {"template": "{text}" + "x" * 20, "max_length": 64}, "training": {"micro_batch": 3}})
    lengths = estimate_lengths("m" * 70, "label" * 2, config, "cpu")
    assert (lengths.micro_batch, lengths.tokens) == (3, 100 // 4 + 2)
    assert lengths.supervised % 3 == 0
    assert estimate_lengths("m" * 10_000, "label", config, "cpu").tokens == 64
    assert estimate_lengths("卡" * 30, "label" * 2, config, "cpu").tokens == 30 + 30 // 4 + 1 + 2, "another script takes more"


@pytest.mark.parametrize(("needed", "words"), [(80, "fits"), (85, "fits"), (86, "tight"), (100, "tight"), (101, "too big")])
def test_verdict(needed: int, words: str) -> None:
    assert verdict(needed, 100) == words
