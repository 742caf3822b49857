"""Tiny random models with a tokenizer of their own, saved as Hugging Face folders. No network, milliseconds to make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from gguf.quants import quantize
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

TEXT = [
    "where is my card it has not arrived yet",
    "i lost my card please block it",
    "the transfer is still pending after a week",
    "what is the exchange rate today",
    "Message: my card was declined\nIntent: card_declined",
    "card_arrival card_lost card_linking exchange_rate transfer_pending top_up_failed",
]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE in the way of GPT-2 and Llama 3, with a beginning token that the tokenizer adds itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "</s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=360, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """Pieces that carry their space, with byte fallback, in the way of Gemma."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", *[f"<0x{byte:02X}>" for byte in range(256)]]
    tokenizer.train_from_iterator(
        [line.replace(" ", "▁") for line in TEXT], trainers.BpeTrainer(vocab_size=420, special_tokens=specials, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    # The trainer marks the bytes as special tokens; in Gemma's tokenizer they are ordinary ones.
    stored = json.loads(tokenizer.to_str())
    stored["added_tokens"] = [token for token in stored["added_tokens"] if not token["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(stored))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def tiny_model(family: str, vocabulary: int, seed: int = 0) -> PreTrainedModel:
    """A random "llama", "gemma3", "gpt2" or "gpt_neox" of a few thousand weights.

    Gemma's sliding window is shorter than the prompts; GPT-NeoX names its weights otherwise in files than in memory.
    """
    torch.manual_seed(seed)
    shared: dict[str, Any] = {"vocab_size": vocabulary, "max_position_embeddings": 256}
    if family == "gpt2":
        still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        model: PreTrainedModel = GPT2LMHeadModel(
            GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=2, n_positions=256, **still)
        )
    elif family == "gpt_neox":
        shared |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**shared))
    else:
        shared |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
        shared |= {"num_key_value_heads": 1, "head_dim": 16}
        if family == "gemma3":
            # Its square root, by which embeddings are multiplied, is rounded by bf16 as coarsely as that of a real Gemma's width.
            shared["hidden_size"] = 40
            kinds = ["sliding_attention", "sliding_attention", "full_attention"]
            model = Gemma3ForCausalLM(Gemma3TextConfig(**shared, sliding_window=12, layer_types=kinds, query_pre_attn_scalar=16))
        else:
            model = LlamaForCausalLM(LlamaConfig(**shared))
    with torch.no_grad():
        # Larger than an initialisation for training, so that scores and attention differ visibly between tokens.
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0.0, 0.25, generator=torch.Generator().manual_seed(len(name) + seed))
    return model.eval()


def save_tiny(folder: Path, family: str = "llama", seed: int = 0) -> Path:
    """Write model and tokenizer to ``folder``."""
    tokenizer = metaspace_tokenizer() if family == "gemma3" else byte_tokenizer()
    model = tiny_model(family, len(tokenizer), seed)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.bos_token_id = tokenizer.bos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_gguf(path: Path, seed: int = 0, kind: GGMLQuantizationType | None = None) -> LlamaForCausalLM:
    """Write the tiny Llama to one GGUF file, the way llama.cpp's converter does, and return it. ``kind``: as it is stored."""
    tokenizer = byte_tokenizer()
    model = tiny_model("llama", len(tokenizer), seed)
    assert isinstance(model, LlamaForCausalLM)
    config = model.config
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in ("<s>", "</s>", "<pad>") else 1 for token, _ in vocabulary])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        array = weight.float().numpy()
        for layer, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if f"{layer}.weight" in name:  # llama.cpp keeps the two halves of a rotary pair beside each other
                array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        stored = GGMLQuantizationType.F32 if kind is None or array.ndim < 2 else kind
        named = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(named, quantize(array, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model
