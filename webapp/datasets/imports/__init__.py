"""Files that people bring: what each is, what its rows become, and what is left of them.

`files.py` says what a file is and gives its rows; each kind of row is a module here and a line of
FORMATS; `reading.py` puts the rows of a file together; `jobs.py` shows and takes them in.
"""
