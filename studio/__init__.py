"""Finetune Studio: fine-tune a small language model on your own computer and see what it gets wrong."""

__version__ = "0.1.0"
