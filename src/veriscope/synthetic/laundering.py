"""Is it generated, or a real picture that a generator's autoencoder was run over?

Trace: a real picture that is encoded and decoded by a diffusion model, at strength zero, keeps its content and takes on the
decoder's traces, and with them every detector of such traces. Two stages tell the three apart: is there any synthetic trace
(pristine or not), and if so, did a model make the content too (laundered or generated)? The second rests on what the denoiser
leaves, is fainter than the first, and fails where the pass was another decoder's than those it learned; both fail once the
picture is resized or saved at low quality.

Paper: Mandelli et al. 2024 (When Synthetic Traces Hide Real Content: Analysis of Stable Diffusion Image Laundering).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from veriscope.evidence import Evidence
from veriscope.picture import Picture
from veriscope.synthetic import scoring, views
from veriscope.synthetic.learned import Learned

KINDS = ("pristine", "laundered", "generated")
READ_AS = {
    "pristine": "no generator's trace",
    "laundered": "a real picture laundered, that is, passed through a generator's autoencoder",
    "generated": "a generated picture",
}


def probabilities(odds: NDArray[np.floating]) -> NDArray[np.float64]:
    """The two stages' log odds ``(..., 2)`` to the probabilities ``(..., 3)`` of ``KINDS``, had each been as likely before.

    >>> probabilities(np.array([0.0, 0.0])).tolist()
    [0.5, 0.25, 0.25]
    """
    trace, made = np.moveaxis(1 / (1 + np.exp(-np.clip(np.asarray(odds, np.float64), -30, 30))), -1, 0)
    return np.stack([1 - trace, trace * (1 - made), trace * made], -1)


def log_odds(odds: NDArray[np.floating]) -> NDArray[np.float64]:
    """The two stages' log odds ``(..., 2)`` to the log odds ``(...)`` of "generated" against the other two.

    >>> round(float(log_odds(np.array([0.0, 0.0]))), 3)
    -1.099
    """
    generated = probabilities(odds)[..., 2]
    return np.asarray(np.log(generated) - np.log1p(-generated), np.float64)


class Laundering(Learned):
    """Two stages, a synthetic trace and then its kind: is the picture pristine, laundered or generated?"""

    name = "laundering"
    traces = "Traces of an autoencoder and of what it decoded"

    def odds(self, picture: Picture) -> NDArray[np.float64]:
        """The two stages' log odds ``(2,)``, the mean of up to three parts of the picture, computed once."""
        return picture.once("laundering odds", lambda: _odds(picture.rgb))

    def score(self, picture: Picture) -> float:
        """The log odds of "generated" against pristine and laundered."""
        return float(log_odds(self.odds(picture)))

    def __call__(self, picture: Picture) -> Evidence:
        """Evidence on "generated?" that also says which of the three the picture looks like.

        Raises:
            ModelError: the weights or their calibration are missing or damaged.
        """
        evidence = super().__call__(picture)
        shares = probabilities(self.odds(picture))
        kind = KINDS[int(shares.argmax())]
        listed = ", ".join(f"{name} {share:.0%}" for name, share in zip(KINDS, shares, strict=True))
        return replace(evidence, says=f"{evidence.says} Of three kinds it looks most like {READ_AS[kind]} ({listed}).")


def _odds(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(scoring.outputs(Laundering.name, views.details(rgb)).mean(0), np.float64)
