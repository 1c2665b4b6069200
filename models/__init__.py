"""Pretrained or random networks with their tokenizers: transformers, never lightning."""
