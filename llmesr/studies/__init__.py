"""What a prompt, an encoder or a similarity is worth on a dataset, each against the default, judged on validation.

cells.py     what is compared: the default, and what differs from it
judges.py    who judges: text-ease, semantic-knn, similar users; each reads a part of a cell
carry_out.py every cell in its turn, the finalists, the table
"""
