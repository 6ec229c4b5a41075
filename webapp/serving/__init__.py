"""The web program: it reads whole requests before one of its threads works on them."""
