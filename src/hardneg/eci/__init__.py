"""ECI: how much contrastive information a set of hard negatives holds, before anyone trains on it.

Sinha, Seetharaman, Bansal, *ECI: Effective Contrastive Information to Evaluate Hard-Negatives*, arXiv:2603.20990. One
arXiv number holds two metrics: version 1 (22 March 2026), here ``eci_v1``, and version 3 (5 June 2026), ``eci_sem``,
which ranks sources the other way round. A bare "ECI" is never printed.

This package knows numbers only: similarities and embeddings go in, terms come out. It needs numpy and nothing else.
"""

from hardneg.eci.bootstrap import Resamples, interval, poisson
from hardneg.eci.combinations import unions
from hardneg.eci.queries import COLUMNS, NEAR, TERMS, columns_of, distinct, per_query, per_query_of_sets, terms_of
from hardneg.eci.rules import (
    Judgment,
    Reference,
    Rule,
    judge,
    keep,
    limits,
    position,
    quantiles_of,
    reference,
    safe,
    thresholds,
)
from hardneg.eci.sem import (
    Moments,
    SemReport,
    eci_sem,
    lexical_residuality,
    locality,
    residual_directions,
    target_consistency,
)
from hardneg.eci.tally import Report, Tally, intervals, score
from hardneg.eci.terms import capacity, eci_v1, efficiency, hardness, safety

__all__ = [
    "COLUMNS",
    "NEAR",
    "TERMS",
    "Judgment",
    "Moments",
    "Reference",
    "Report",
    "Resamples",
    "Rule",
    "SemReport",
    "Tally",
    "capacity",
    "columns_of",
    "distinct",
    "eci_sem",
    "eci_v1",
    "efficiency",
    "hardness",
    "interval",
    "intervals",
    "judge",
    "keep",
    "lexical_residuality",
    "limits",
    "locality",
    "per_query",
    "per_query_of_sets",
    "poisson",
    "position",
    "quantiles_of",
    "reference",
    "residual_directions",
    "safe",
    "safety",
    "score",
    "target_consistency",
    "terms_of",
    "thresholds",
    "unions",
]
