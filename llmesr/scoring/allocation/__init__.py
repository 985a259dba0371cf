"""Weak users handed to a second ranker; everybody else keeps the run's list, bit for bit (2405.00824, 2501.04762).

weakness.py   who is weak, by what the training part alone says
lists.py      the candidates of each user, and a run whose lists are re-ordered for some
rankers.py    second rankers: a run, a ranking made elsewhere, chance
chat.py       a chat model behind an OpenAI-compatible service
answers.py    what a chat model's answer means, and the cache of answers
allocate.py   the share chosen on validation, the test judged beside its controls, the run stored
"""
