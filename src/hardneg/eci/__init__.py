"""ECI: how much contrastive information a set of hard negatives holds, before anyone trains on it.

Sinha, Seetharaman, Bansal, *ECI: Effective Contrastive Information to Evaluate Hard-Negatives*, arXiv:2603.20990. One
arXiv number holds two metrics: version 1 (22 March 2026), here ``eci_v1``, and version 3 (5 June 2026), ``eci_sem``,
which ranks sources the other way round. A bare "ECI" is never printed.

This package knows numbers only: similarities go in, terms come out. It needs numpy and nothing else.
"""

from hardneg.eci.rules import Reference, Rule, keep, limits, reference
from hardneg.eci.tally import Report, Tally
from hardneg.eci.terms import capacity, eci_v1, efficiency, hardness, safety

__all__ = [
    "Reference",
    "Report",
    "Rule",
    "Tally",
    "capacity",
    "eci_v1",
    "efficiency",
    "hardness",
    "keep",
    "limits",
    "reference",
    "safety",
]
