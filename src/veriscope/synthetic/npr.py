"""Is it generated? What neighbouring pixels owe to one up-sampling.

Trace: a generator's last layers make pixels in groups, by nearest-neighbour up-sampling and convolution, so that the pixels
of a 2 x 2 cell stand in relations that a sensor's do not. The residual between a picture and itself made half as large and
twice as large again keeps just these. It fails once the picture is resized or saved at low quality, for both write such
relations anew.

Paper: Tan et al. 2024 (NPR: Rethinking the Up-Sampling Operations in CNN-based Generative Network).
"""

from __future__ import annotations

from veriscope.synthetic.learned import OnDetails


class NPR(OnDetails):
    """Neighbouring pixel relations, the residual that up-sampling leaves: was the picture generated?"""

    name = "npr"
    traces = "Relations between neighbouring pixels"
