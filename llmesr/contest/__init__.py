"""The best recommender of a dataset within a time: candidates compete on validation, and the record says why.

candidates   what is tried on a dataset, in the order of its cost
clock        the time there is, and how long each candidate will likely take
judge        how candidates are measured and compared
find         carrying it out: estimates first, the deadline kept, stopped and resumed without a loss
"""
