"""MaxSim as referee."""

from __future__ import annotations

from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.kinds import part
from hardneg.models.late_interaction import LateInteraction as Model
from hardneg.protocols import AnyEncoder
from hardneg.scorers.cross_encoder import score_batch


@part
class LateInteraction:
    """MaxSim over an encoder's token embeddings, in [-1, 1]: the strongest referee that needs no training.

    The same as the scorer ``cross_encoder`` with the model ``late_interaction``.
    """

    encoder: AnyEncoder

    def score(self, batch: Batch) -> Scores:
        """Scores of every candidate and every positive."""
        return score_batch(Model(encoder=self.encoder), batch)
