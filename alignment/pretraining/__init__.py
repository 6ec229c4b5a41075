"""Training a language model on texts: its tokenizer, packing, what is predicted, and how well."""
