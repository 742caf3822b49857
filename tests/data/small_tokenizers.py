"""Tokenizers of a few hundred tokens whose ids can be written out by hand."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast


def byte_level(bos: bool) -> PreTrainedTokenizerFast:
    """GPT-2's bytes, where "!" is 0, "Ċ" (newline) 198 and "Ġ" (space) 220, and a few merges. With ``bos``: Llama 3's way."""
    alphabet = {letter: position for position, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("H", "i"), ("Ġ", "c"), ("Ġc", "a"), ("r", "d"), ("Ġca", "rd")]
    vocabulary = alphabet | {"".join(merge): 256 + position for position, merge in enumerate(merges)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>", "<|begin|>", "<|user|>"])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 262)])
    return wrap(tokenizer, eos_token="<|end|>", bos_token="<|begin|>")


def metaspace(single: str = "<bos> $A") -> PreTrainedTokenizerFast:
    """Gemma's way: spaces become "▁", unknown letters become bytes, "<bos>" comes first."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", "H", "i", "c", "a", "r", "d", "=", ">", "\n"]
    merges = [("▁", "c"), ("▁c", "a"), ("r", "d"), ("▁ca", "rd"), ("H", "i")]
    pieces += ["".join(merge) for merge in merges]
    vocabulary = {piece: position for position, piece in enumerate(pieces)}
    vocabulary |= {f"<0x{byte:02X}>": len(pieces) + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(pieces[:4])
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<bos>", 2), ("<eos>", 1)])
    return wrap(tokenizer, eos_token="<eos>", bos_token="<bos>", unk_token="<unk>", pad_token="<pad>")


def words(vocabulary: list[str], **options: Any) -> PreTrainedTokenizerFast:
    """One token for each word between spaces."""
    tokenizer = Tokenizer(models.WordLevel({word: position for position, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return wrap(tokenizer, **options)


def wrap(tokenizer: Tokenizer, **options: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)
