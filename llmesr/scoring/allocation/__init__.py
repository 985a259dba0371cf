"""Weak users handed to a second ranker; everybody else keeps the run's list, bit for bit (2405.00824, 2501.04762).

weakness.py   who is weak, by what the training part alone says
lists.py      the candidates of each user, and a run whose lists are re-ordered for some
rankers.py    second rankers: a run, a ranking made elsewhere, chance
asking.py     language models: what they are asked, the cost, the cache of answers
chat.py       one behind an OpenAI-compatible service
local.py      one on this machine: a GGUF file or a Hugging Face folder
answers.py    what an answer means
allocate.py   the share chosen on validation, the test judged beside its controls, the run stored
"""
