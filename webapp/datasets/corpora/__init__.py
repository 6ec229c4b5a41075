"""Corpora: files of documents that models are pretrained on."""
