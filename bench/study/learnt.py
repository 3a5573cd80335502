"""Numbers of a set that take some learning: the probe's training watched query by query, and a shortcut."""

from __future__ import annotations

import numpy as np
import torch
from bench.study.orders import Rows, Start
from bench.study.predictors import SCALE
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score

from hardneg.probe import Recipe
from hardneg.probe.training import Negatives, apply, fit


def cartography(start: Start, sets: Rows) -> dict[str, float]:
    """Confidence and variability (Dataset Cartography, arXiv:2009.10795): the mean and the standard deviation, over
    the epochs of the probe's training, of the share that the positive has in the softmax with its own negatives; and
    minus the share of queries that are hard to learn, those with a confidence below a half.
    """
    lengths = np.array([*map(len, sets)])
    distinct, places = np.unique(np.concatenate(sets).astype(np.int64), return_inverse=True)
    queries, positives = torch.from_numpy(start.queries), torch.from_numpy(start.passages[start.own])
    vectors = torch.from_numpy(start.passages[distinct])
    negatives = Negatives(vectors, distinct, places, np.cumsum([0, *lengths]))
    owners = np.repeat(np.arange(len(sets)), lengths)
    shares = []
    for weights in fit(queries, positives, start.own, negatives, np.arange(len(sets)), Recipe(), [0, 0]):
        mapped, asked = apply(weights, vectors)[torch.from_numpy(places)], apply(weights, queries)
        plus = (asked * apply(weights, positives)).sum(1).numpy()
        apart = SCALE * ((asked[torch.from_numpy(owners)] * mapped).sum(1).numpy() - plus[owners])
        shares.append(1 / (1 + np.bincount(owners, weights=np.exp(apart), minlength=len(sets))))
    confidence, variability = np.mean(shares, axis=0)[lengths > 0], np.std(shares, axis=0)[lengths > 0]
    return {
        "confidence": float(confidence.mean()),
        "variability": float(variability.mean()),
        "-hard to learn": -float((confidence < 0.5).mean()),
    }


def shortcut(start: Start, sets: Rows, folds: int = 2) -> float:
    """Minus the AUC of a linear classifier that tells positives from negatives by the passage alone, without the
    query: what a retriever could learn in place of relevance. Cross-fitted over queries.
    """
    owners = np.repeat(np.arange(len(sets)), [*map(len, sets)])
    rows = np.concatenate([start.own, *sets]).astype(np.int64)
    query = np.concatenate([np.arange(len(sets)), owners])
    positive = np.arange(len(rows)) < len(sets)
    fold = np.random.default_rng(0).integers(0, folds, len(sets))[query]
    said = np.empty(len(rows))
    for held_out in range(folds):
        some = fold != held_out
        classifier = RidgeClassifier(class_weight="balanced").fit(start.passages[rows[some]], positive[some])
        said[~some] = classifier.decision_function(start.passages[rows[~some]])
    return -float(roc_auc_score(positive, said))


def learnt(start: Start, sets: Rows) -> dict[str, float]:
    """All of them; none for a set that is empty."""
    if not any(map(len, sets)):
        return {}
    return cartography(start, sets) | {"-shortcut": shortcut(start, sets)}
