"""Forms in which a model may be kept: fewer bits, factors. A folder says which by `form.json`.

To add one: a module with `FORM`, a `StorageForm`, and a line in `FORMS` of `stored.py`. `loading` then reads
such folders for every run, `make_plain` turns them into what can be trained, and nobody else knows.
"""
