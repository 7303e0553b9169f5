"""Tuning in the residual subspace: it starts as the frozen block, moves where it may, and is exported as it was trained."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from veriscope.lab.data import samples as data
from veriscope.lab.data.manifest import Row, deal
from veriscope.lab.data.samples import keep
from veriscope.lab.networks.clip_vit import Block
from veriscope.lab.networks.effort import Residual, TunedBlock
from veriscope.lab.recipes import effort
from veriscope.lab.recipes.networks import fit
from veriscope.lab.recipes.recipe import Settings

LENGTH = 5  # tokens a square here, for speed


@pytest.fixture
def matrix():
    torch.manual_seed(0)
    return torch.randn(24, 24), torch.randn(24)


def test_it_starts_as_the_frozen_map(matrix):
    weight, bias = matrix
    x = torch.randn(3, 24)
    residual = Residual(weight, bias, 4)
    torch.testing.assert_close(residual(x), x @ weight.T + bias)
    assert float(residual.constraint().detach()) == pytest.approx(0, abs=1e-4)
    assert {name for name, _ in residual.named_parameters()} == {"left_change", "sizes_change", "right_change"}


def test_the_constraint_is_what_it_is_short_for(matrix):
    weight, bias = matrix
    residual = Residual(weight, bias, 4)
    with torch.no_grad():
        for parameter in residual.parameters():
            parameter.normal_(0, 0.5)
    left, sizes, right = residual.tuned()
    frozen_left, all_sizes, frozen_right = torch.linalg.svd(weight)
    whole_left = torch.cat([frozen_left[:, :-4], left], 1)
    whole_right = torch.cat([frozen_right[:-4], right])
    one = torch.eye(24)
    expected = (whole_left.T @ whole_left - one).square().sum() + (whole_right @ whole_right.T - one).square().sum()
    expected = expected + (sizes.square().sum() / all_sizes[-4:].square().sum() - 1).abs()
    torch.testing.assert_close(residual.constraint(), expected, rtol=1e-3, atol=1e-3)
    whole = whole_left @ torch.diag(torch.cat([all_sizes[:-4], sizes])) @ whole_right
    x = torch.randn(3, 24)
    torch.testing.assert_close(residual(x), x @ whole.T + bias, rtol=1e-3, atol=1e-3)


def test_the_constraint_keeps_strong_directions(matrix):
    """A target that asks for a new strong direction is followed less far where the constraint is kept."""
    weight, bias = matrix
    strong = torch.linalg.svd(weight).Vh[0]
    moved = []
    for factor in (0.0, 10.0):
        residual = Residual(weight, bias, 4)
        optimiser = torch.optim.Adam(residual.parameters(), 0.05)
        for _ in range(60):
            loss = (residual(strong) - bias).square().sum() + factor * residual.constraint()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        moved.append(float((residual(strong) - strong @ weight.T - bias).norm().detach()))
    assert moved[1] < 0.5 * moved[0]


def test_only_the_weakest_directions_and_the_head_are_trained():
    torch.manual_seed(0)
    block = Block()
    tokens = torch.randn(2, LENGTH, 768)
    expected = block(tokens)
    network = TunedBlock(block, 2)
    torch.testing.assert_close(network.block(tokens), expected, rtol=1e-4, atol=1e-4)
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert trained == 4 * 2 * (768 + 1 + 768) + (2 * 768 + 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-3)
    for _ in range(2):
        optimiser.zero_grad()
        effort.constrained(network, tokens, torch.tensor([0.0, 1.0])).backward()
        optimiser.step()
    changed = {
        name.rpartition(".")[2] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"left_change", "sizes_change", "right_change", "weight", "bias"}
    frozen = [name for name in before if name.startswith("block.") and not name.endswith("_change")]
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in frozen)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Samples of noise squares that differ by class, a stand-in for the backbone, and a block with small random weights."""
    generator = np.random.default_rng(0)
    rows = [
        Row(tmp_path / f"{label}{number}.png", label, f"{label}{number % 3}", f"{label}{number}", "train")
        for label in ("real", "generated")
        for number in range(24)
    ]
    squares = generator.integers(0, 200, (len(rows), data.TURNS, 224, 224, 3)).astype(np.uint8)
    squares[24:, ..., 0] += 55
    folder = tmp_path / "work" / "samples"
    folder.mkdir(parents=True)
    keep(folder, [f"{row.key}#0" for row in rows], {"whole": squares, "detail": squares})
    calls = []

    def pass_of(squares):
        calls.append(len(squares))
        means = np.stack([square[:200].reshape(LENGTH, -1, 3).mean(1) for square in squares]) / 100 - 1
        return None, np.tile(means, (1, 1, 256)).astype(np.float32)

    monkeypatch.setattr(effort.backbone, "pass_of", pass_of)

    def network():
        torch.manual_seed(0)
        return TunedBlock(Block(), 2)

    return replace(effort.RECIPE, network=network, channels=LENGTH), rows, tmp_path, calls


def test_it_trains_resumes_and_exports_what_it_trained(small):
    recipe, rows, folder, calls = small
    said = []
    settings = Settings(folds=3, epochs=2, batch=8, most=20, device="cpu", rate=5e-3)
    figures = recipe.train(rows, folder / "work", folder / "out", settings, said.append)
    assert calls == [1] * 40
    assert figures["settings"]["draws"] == 40
    assert figures["sources_kept_aside"]["samples"] == 14
    assert figures["sources_kept_aside"]["auc"] > 0.9
    session = onnxruntime.InferenceSession(str(folder / "out" / "effort.onnx"))
    assert [item.name for item in session.get_inputs()] == ["tokens"]
    samples = effort.with_tokens(
        effort.once_each(rows, folder / "work" / "samples", settings, said.append), said.append
    )
    inputs = samples.tokens.stacked().astype(np.float32)
    (scores,) = session.run(None, {"tokens": inputs})
    folds = deal(samples.rows, 3)
    done = replace(settings, draws=40)
    network = fit(recipe, samples, folds > 1, folds == 0, folder / "work" / "effort", done, said.append)
    with torch.inference_mode():
        trained = network(torch.from_numpy(inputs)).numpy()
    assert np.corrcoef(scores, trained)[0, 1] > 0.999

    weights = (folder / "out" / "effort.onnx").read_bytes()
    recipe.train(rows, folder / "work", folder / "out", settings, said.append)
    assert len(calls) == 40
    assert (folder / "out" / "effort.onnx").read_bytes() == weights
