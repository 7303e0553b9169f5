"""A training goes on where it stopped, and never from the checkpoint of another one."""

from dataclasses import replace

import lightning
import pytest
import torch
from torch.nn import functional as F

from veriscope.lab.recipes.fitting import fit_module
from veriscope.lab.recipes.recipe import Settings

SETTINGS = Settings(minutes=1, epochs=2, rate=0.1, device="cpu")


class Line(lightning.LightningModule):
    """One number that is to become 3; it counts the steps that it took here."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings, self.steps = settings, 0
        self.at = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        self.steps += 1
        return F.mse_loss(self.at, batch)

    def validation_step(self, batch, index):
        self.log("aside", -(self.at - 3).abs().item(), batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.settings.rate)


class Threes(torch.utils.data.Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return torch.full((1,), 3.0)


@pytest.fixture
def fitted(tmp_path):
    def fit(settings):
        said = []
        module = Line(settings)
        fit_module(module, Threes(), [torch.zeros(1)], tmp_path / "line", settings, said.append)
        return module, " ".join(said)

    return fit


def test_more_epochs_go_on_and_the_same_only_load(fitted):
    first, _ = fitted(SETTINGS)
    assert first.steps == 10
    again, _ = fitted(SETTINGS)
    assert again.steps == 0
    assert again.at.item() == first.at.item()
    longer, said = fitted(replace(SETTINGS, epochs=3))
    assert longer.steps == 5
    assert "resuming" in said


def test_other_settings_begin_anew_and_nothing_is_thrown_away(fitted, tmp_path):
    fitted(SETTINGS)
    other, said = fitted(replace(SETTINGS, rate=0.01))
    assert other.steps == 10
    assert "other settings" in said
    assert list((tmp_path / "line" / "before-1").glob("*.ckpt"))
