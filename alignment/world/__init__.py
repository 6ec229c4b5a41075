"""A small world whose people have a known taste: for demonstrations and proofs."""
