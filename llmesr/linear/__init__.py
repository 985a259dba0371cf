"""Closed-form item-to-item models: weights from interactions and text, and one scorer that adds them over a history.

    interactions   who chose what, as counts of pairs of items
    kernel         how alike items are by their vectors
    evidence       both together: what is known of every pair of items
    ridge, local   the weights of EASE and text-EASE, all items at once or each item on its strongest others
    counted        weights that are counts: item-knn, Markov chains
    weights        item-to-item weights, dense or sparse, as tensors on disk
    rows           sparse weights by the item of the history
    scorer         a score is the sum of weights over the history, newest first; its parts are therefore exact
    factors        iALS, whose users are solved for from any history

To add a model, write a builder of :class:`~llmesr.linear.weights.Weights` and name it in
:data:`llmesr.linear.build.MODELS`.
"""
