"""Is it generated? What a diffusion model sees in the picture at its first step, in place of the whole way to noise and back.

Trace: that of ``dire``. The noise that the denoiser sees in a clean picture already tells how likely the model finds it; a
network that reads picture and noise learned to answer as one that saw the whole error map. It fails where ``dire`` fails.

Paper: Lim et al. 2024 (DistilDIRE: A Small, Fast, Cheap and Lightweight Diffusion Synthesized Deepfake Detection).
"""

from __future__ import annotations

from veriscope.picture import Picture
from veriscope.synthetic import diffusion, scoring
from veriscope.synthetic.learned import Learned


class DistilDIRE(Learned):
    """The first step of a diffusion model's reconstruction: was the picture generated?"""

    name = "distildire"
    traces = "First steps of a diffusion model's reconstruction"

    def score(self, picture: Picture) -> float:
        """The mean score of up to three parts of the picture."""
        squares = diffusion.looked_at(picture.rgb)
        noise = diffusion.first_noise(squares, diffusion.installed())
        return scoring.mean_score(self.name, diffusion.laid_beside(squares, noise))
