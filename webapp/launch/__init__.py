"""Starting runs: what is offered, the form, what speaks against it, what it will cost."""
