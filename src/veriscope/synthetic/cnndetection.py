"""Is it generated? A plain network on pixels, trained to look past blur and JPEG.

Trace: convolutional generators share flaws of up-sampling and of texture, so that a network that learned those of one
generator finds those of others, if blurring and JPEG in its training kept it from leaning on what saving leaves. It is the
field's baseline: it fails on generators that up-sample unlike those it learned (diffusion, for one trained on GANs), and it
learns the subjects of its training set along with the traces.

Paper: Wang et al. 2020 (CNN-generated images are surprisingly easy to spot... for now).
"""

from __future__ import annotations

from veriscope.synthetic.learned import OnDetails


class CNNDetection(OnDetails):
    """A plain network on pixels, trained with blur and JPEG on both classes: was the picture generated?"""

    name = "cnndetection"
    traces = "Pixels at native resolution"
