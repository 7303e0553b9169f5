"""Is it generated? A residual network that learned by contrast with its own first half.

Trace: pixel statistics that the upsampling and denoising of a generator leave at native resolution. The network's first half,
which sees texture, and its whole, which sees more, must place a picture near the same class; that asks for no second view of
the picture, whose making (resizing, blur) would cost the trace. It fails once a picture was made smaller or saved at low
quality, and on generators unlike those it was trained on.

Papers: Boychev & Cholakov 2024 (ImagiNet); Bae et al. 2023 (SelfCon: Self-Contrastive Learning).
"""

from __future__ import annotations

from veriscope.synthetic.learned import OnDetails


class SelfCon(OnDetails):
    """A residual network contrasted with its own first half: was the picture generated?"""

    name = "selfcon"
    traces = "Textures at native resolution"
