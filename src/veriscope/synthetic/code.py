"""Is it generated? Where the picture lies in an embedding that was made for the question alone.

Trace: whatever a generator leaves is in the whole picture and in its parts. A network trained from nothing, by drawing crops
large and small of generated pictures together and away from those of real ones, keeps what both scales share and has no use
for the subject, which parts do not show. It fails on generators that lie outside all it was trained on, and with the few
pictures a small laboratory has: the paper's embedding saw millions.

Paper: Baraldi et al. 2024 (CoDE: Contrasting Deepfakes Diffusion via Contrastive Learning and Global-Local Similarities).
"""

from __future__ import annotations

from veriscope.synthetic.learned import OnWhole


class Code(OnWhole):
    """An embedding that draws the parts and wholes of one class together: was the picture generated?"""

    name = "code"
    traces = "Traces that the whole shares with its parts"
