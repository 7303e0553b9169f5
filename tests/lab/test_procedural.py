"""Image programs draw what their text says, a folder of them resumes, and a trunk learns from it and starts a network."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import faults, read_lines
from veriscope.lab.data.procedural import make_procedural, telling, tells
from veriscope.lab.data.programs import OPERATIONS, Program, drawn, parsed
from veriscope.lab.generators.training import Schedule
from veriscope.lab.networks.cnndetection import CNNDetection
from veriscope.lab.networks.npr import NPR
from veriscope.lab.recipes.starting import start_from
from veriscope.lab.studies.pretraining import VIEW, Contrasting, view_of

SIDE = 128


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def programs(count, seed=0):
    return [drawn(np.random.default_rng((seed, number))) for number in range(count)]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_operation_changes_what_it_is_given(name):
    leaves = (parsed("shapes(60, 1)"), parsed("noise(4, 5, 0.6, 2)"), parsed("cells(30, 3)"))
    operation = OPERATIONS[name]
    made = [
        Program(name, leaves[: operation.operands], operation.draw(np.random.default_rng(seed))).picture(64)
        for seed in range(3)
    ]
    assert made[0].shape == (64, 64, 3)
    assert made[0].dtype == np.uint8
    for picture in made:
        assert picture.std() > 3
        if operation.operands:
            difference = np.abs(picture.astype(int) - leaves[0].picture(64)).mean()
            assert difference > (0.5 if name == "blur" else 3)
    if operation.draw(np.random.default_rng(0)):
        assert np.abs(made[0].astype(int) - made[1]).mean() > 0.2


def test_the_text_alone_draws_the_picture_again():
    for program in programs(25):
        again = parsed(str(program))
        assert again == program
        np.testing.assert_array_equal(again.picture(48), program.picture(48))


def test_a_program_looks_alike_at_two_sizes():
    program = parsed("warp(shapes(30, 5), noise(2, 2, 0.5, 1), 0.2)")
    small = cv2.resize(program.picture(256), (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(small.ravel(), program.picture(64).astype(float).ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "noise(1, 2)",
        "warp(1, 2, 0.3)",
        "noise(1, 1, 0.5, 'a')",
        "shapes(3, True)",
        "polar(3",
        "blend(" * 3000,
        "open",
        "shapes(5, seed=3)",
    ],
)
def test_what_is_no_program_is_refused(text):
    with pytest.raises(VeriscopeError, match="is no image program"):
        parsed(text)


def test_dull_pictures_and_noise_are_drawn_again():
    generator = np.random.default_rng(0)
    assert not tells(np.full((64, 64, 3), 90, np.uint8))
    assert not tells(generator.integers(0, 255, (64, 64, 1)).repeat(3, 2).astype(np.uint8))
    assert tells(parsed("shapes(60, 1)").picture(64))
    shown = [tells(telling(np.random.default_rng(number), 64).picture(64)) for number in range(20)]
    assert np.mean(shown) == 1
    assert np.mean([tells(program.picture(64)) for program in programs(40)]) < 1


def test_a_folder_is_the_same_for_a_seed_and_resumes(tmp_path):
    assert make_procedural(12, tmp_path / "one", side=SIDE, say=str) == 12
    assert make_procedural(7, tmp_path / "two", side=SIDE, say=str) == 7
    (tmp_path / "two" / "pictures" / "seed0-128px" / "000003.png").unlink()
    assert make_procedural(12, tmp_path / "two", side=SIDE, say=str) == 6
    assert make_procedural(12, tmp_path / "two", side=SIDE, say=str) == 0
    files = [sorted((tmp_path / name).rglob("*.png")) for name in ("one", "two")]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
    assert len({file.read_bytes() for file in files[0]}) == 12
    lines = read_lines(tmp_path / "two" / "manifest.csv")
    assert not faults(lines)
    assert {line.row.label for line in lines} == {"none"}
    assert [line.row.split for line in lines].count("val") == 2
    for line in lines[:4]:
        drawn_again = parsed(line.row.method).picture(SIDE)
        np.testing.assert_array_equal(cv2.imread(str(line.row.path))[..., ::-1], drawn_again)
    with pytest.raises(VeriscopeError, match="another seed"):
        make_procedural(12, tmp_path / "two", seed=1, side=SIDE, say=str)


def test_views_show_a_part_and_differ():
    torch.manual_seed(0)
    pixels = torch.from_numpy(parsed("shapes(80, 4)").picture(SIDE)).permute(2, 0, 1)[None].repeat(8, 1, 1, 1) / 255
    views = view_of(pixels)
    assert views.shape == (8, 3, VIEW, VIEW)
    assert 0 <= float(views.min()) <= float(views.max()) <= 1
    apart = (views[:, None] - views[None]).abs().mean((2, 3, 4))
    assert float(apart[~torch.eye(8, dtype=torch.bool)].min()) > 0.01


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("procedural")
    make_procedural(60, path, side=SIDE, say=str)
    return path


def pretrain(folder, work, *more):
    command = ["lab", "pretrain", "--data", str(folder / "manifest.csv"), "--work", str(work), "--squares", "54"]
    return main([*command, "--batch", "8", "--device", "cpu", *more])


def test_a_trunk_learns_resumes_and_starts_networks(folder, tmp_path, capsys):
    assert pretrain(folder, tmp_path, "--steps", "5") == 0
    assert "5 steps on 54 squares of 54 pictures" in capsys.readouterr().out
    trunk = tmp_path / "trunk.safetensors"
    figures = json.loads((tmp_path / "trunk.json").read_text())
    assert figures["chance"] == pytest.approx(1 / 11)
    first = load_file(trunk)
    assert pretrain(folder, tmp_path, "--steps", "5") == 0
    assert "resuming at step 5" in capsys.readouterr().err
    assert all(torch.equal(first[name], value) for name, value in load_file(trunk).items())

    said = []
    network, short = CNNDetection(), NPR()
    torch.nn.init.zeros_(network.trunk.first[0].weight)
    start_from(network, trunk, said.append)
    start_from(short, trunk, said.append)
    assert torch.equal(network.trunk.first[0].weight, first["trunk.first.0.weight"])
    assert torch.equal(short.trunk.stages[2].body[0].weight, first["trunk.stages.2.body.0.weight"])
    counts = [int(line.split(": ")[1].split(" ")[0]) for line in said]
    assert counts[0] == len(network.trunk.state_dict())
    assert counts[1] == len(short.trunk.state_dict())


def test_a_trained_trunk_draws_views_of_one_picture_together(folder):
    torch.manual_seed(0)
    learner = Contrasting(Schedule(device="cpu"))
    squares = np.stack([cv2.imread(str(file)) for file in sorted(folder.rglob("*.png"))[:8]])

    def loss():
        torch.manual_seed(99)  # the same views
        return learner.step(squares, 0.0, 0.0)["contrast"]

    before = loss()
    for step in range(14):
        torch.manual_seed(step)
        learner.step(squares, 0.0, 2e-3)
    assert loss() < before - 0.25


def test_commands_refuse_bad_numbers_and_files(folder, tmp_path, capsys):
    assert main(["lab", "make-procedural", "--count", "0", "--out", str(tmp_path)]) == 2
    assert pretrain(folder, tmp_path, "--steps", "-1") == 2
    assert pretrain(folder, tmp_path, "--steps", "1", "--out", str(tmp_path / "trunk.pt")) == 2
    assert "ends with .safetensors" in capsys.readouterr().err
    with (tmp_path / "m.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "label", "source", "group", "split"], ["gone.png", "none", "s", "g", "train"]])
    assert main(["lab", "pretrain", "--data", str(tmp_path / "m.csv"), "--work", str(tmp_path)]) == 2
    assert "no such file" in capsys.readouterr().err
