"""Is it generated? What a pass through an autoencoder leaves.

Trace: a latent diffusion model's last step is the decoder of an autoencoder, which writes the finest detail of every picture it
makes. A network that tells real pictures from their own reconstructions therefore knows that step and nothing of the subject.
It fails on what never went through such a decoder (GANs, pixel diffusion), on decoders far from those it learned, and once the
picture is resized or saved at low quality; and it calls a real picture generated that was merely laundered (``laundering``).

Papers: Vesnin et al. 2024 (AEDetect: Detecting AutoEncoder is Enough to Catch LDM Generated Images); Rajan et al. 2025.
"""

from __future__ import annotations

from veriscope.synthetic.learned import OnDetails


class AEDetect(OnDetails):
    """What a pass through an autoencoder leaves in the finest detail: was the picture generated?"""

    name = "aedetect"
    traces = "Traces of an autoencoder"
