"""Is it generated? One more block of the backbone, adapted only in the directions it hardly used.

Trace: fine-tuning a foundation model on forgeries bends what it knew, and it then knows the training set alone. The singular
values of a matrix say which directions carry its knowledge; those stay, and only the weakest few, nearly free, learn what tells
generated pictures. Here they are those of the attention of the ninth block, on the tokens of the shared pass after the
eighth. It fails on generators unlike all it was trained on, and on small pictures.

Paper: Yan et al. 2025 (Effort: Orthogonal Subspace Decomposition for Generalizable AI-Generated Image Detection).
"""

from __future__ import annotations

from veriscope.picture import Picture
from veriscope.synthetic import backbone, depths, scoring
from veriscope.synthetic.learned import Learned


class Effort(Learned):
    """A ninth block on the frozen backbone, adapted where its weights hardly knew anything: was the picture generated?"""

    name = "effort"
    traces = "Adapted features"
    sizes = depths.SIZES
    qualities = depths.QUALITIES

    def score(self, picture: Picture) -> float:
        """The log odds of the head behind the adapted block."""
        return float(scoring.run(self.name, backbone.tokens(picture)[None])[0])
