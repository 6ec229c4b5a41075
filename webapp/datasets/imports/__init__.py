"""Files that people bring: what each is, what its rows become, and what is left of them.

`files.py` says what a file is and gives its rows, which `alignment.rows` reads; `reading.py` puts the rows of a
file together; `jobs.py` shows and takes them in.
"""
