"""Is it generated? How far the picture is from what a diffusion model makes of it.

Trace: a picture that a diffusion model drew lies where such models draw, and comes back from a way to noise and back nearly as
it was; a photograph comes back changed in what the model would not have drawn. The map of that error is judged by a small
network. It fails on generators unlike the model that reconstructs (here a small one of our own, which leaves most texture
unexplained on both sides), and once resizing or saving has changed the finest detail; it is the slowest of these detectors.

Paper: Wang et al. 2023 (DIRE for Diffusion-Generated Image Detection).
"""

from __future__ import annotations

from veriscope.picture import Picture
from veriscope.synthetic import diffusion, scoring
from veriscope.synthetic.learned import Learned


class DIRE(Learned):
    """The error of a diffusion model's reconstruction: was the picture generated?"""

    name = "dire"
    traces = "Errors of a diffusion model's reconstruction"

    def score(self, picture: Picture) -> float:
        """The mean score of the error maps of up to three parts of the picture."""
        maps = diffusion.error_maps(diffusion.looked_at(picture.rgb), diffusion.installed())
        return scoring.mean_score(self.name, maps)
