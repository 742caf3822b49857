"""Files → examples → splits → token ids. Needs no torch and no Qt; the tokenizer is handed in."""
