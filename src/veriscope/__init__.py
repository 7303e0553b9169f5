"""Veriscope tells what a picture is, shows the evidence, and says how sure it is.

>>> import veriscope as vs
>>> report = vs.examine("photo.jpg")  # doctest: +SKIP
"""

from veriscope.errors import ModelError, PictureError, PluginError, VeriscopeError
from veriscope.evidence import Declaration, Evidence, Question, Report, Verdict
from veriscope.examination import examine
from veriscope.picture import Limits, Picture, open_picture
from veriscope.plugins import Detector, detectors
from veriscope.weighing import Panel, strength, weigh

__all__ = [
    "Declaration",
    "Detector",
    "Evidence",
    "Limits",
    "ModelError",
    "Panel",
    "Picture",
    "PictureError",
    "PluginError",
    "Question",
    "Report",
    "Verdict",
    "VeriscopeError",
    "detectors",
    "examine",
    "open_picture",
    "strength",
    "weigh",
]
