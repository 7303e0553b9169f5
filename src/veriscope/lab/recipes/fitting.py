"""Run one Lightning training within a limit of minutes: resume, early stop on what is kept aside, TensorBoard, checkpoints.

What a recipe gives is a module whose steps know their data; what it gets back has the best weights loaded. An interrupted
training resumes from the last complete checkpoint; a finished one with the same settings only loads, and one that is given
more minutes or epochs goes on. What other settings left is put aside. First weights are the recipe's: it seeds before it makes
the module.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from veriscope.lab.data.manifest import Row
from veriscope.lab.recipes.recipe import Say, Settings, write_json

Module = TypeVar("Module", bound=lightning.LightningModule)
REFRESHED = 20  # batches between two lines of progress
STEEPEST = 5.0  # norm of a gradient, beyond which it is cut
BEST, DONE, BEGUN = "best.ckpt", "done.json", "begun.json"
LIMITS = ("minutes", "epochs", "patience", "device")  # settings that say how long a training goes on, and where


class Learning(lightning.LightningModule):
    """A network and how it is optimised: AdamW, its rate falling by a cosine over the epochs.

    Args:
        network: what learns; its parameters that need no gradient stay as they are.
        settings: rate and epochs are used.
        decay: of the weights.
    """

    def __init__(self, network: nn.Module, settings: Settings, decay: float = 0.02) -> None:
        super().__init__()
        self.network, self.settings, self.decay = network, settings, decay

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine over the epochs."""
        wanted = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(wanted, self.settings.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.settings.epochs, self.settings.rate / 20)
        return [optimiser], [schedule]


@dataclass(frozen=True)
class Fitted:
    """What came of ``fit_aside``.

    Attributes:
        training: with the best weights loaded, in evaluation mode, on the CPU.
        aside: batches of sources kept aside, to report on; made as they are asked for, once.
        rows: of the pictures that it was fitted on.
    """

    training: Learning
    aside: Iterator[tuple[torch.Tensor, ...]]
    rows: list[Row]


def fit_aside(
    make: Callable[[], Learning],
    batches: Dataset[Any],
    stopping: Dataset[Any],
    reporting: Dataset[Any],
    rows: list[Row],
    work: Path,
    settings: Settings,
    say: Say,
) -> Fitted:
    """Seed, train by ``fit_module``, and give what is to be reported on.

    Args:
        make: the untrained module, made after the seed is set.
        batches, work, settings, say: as for ``fit_module``.
        stopping: batches that decide which epoch was best; made once.
        reporting: batches for ``Fitted.aside``.
        rows: those behind ``batches``.
    """
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    training = fit_module(make(), batches, list(_each(stopping)), work, settings, say)
    return Fitted(training.eval().cpu(), _each(reporting), rows)


def _each(batches: Dataset[Any]) -> Iterator[Any]:
    return (batches[index] for index in range(len(batches)))  # type: ignore[arg-type]  # it has a length


def fit_module(
    trained: Module,
    batches: Dataset[Any],
    aside: Sequence[Any] | Dataset[Any],
    work: Path,
    settings: Settings,
    say: Say,
    *,
    monitor: str = "aside",
) -> Module:
    """Train ``trained`` on ``batches``, an epoch being all of them, and load what was best on ``aside``.

    Args:
        trained: logs ``monitor``, higher being better, in its validation step.
        batches: whole batches, by any index from 0 on; its length is that of an epoch, and each epoch asks for the indices
            after those of the last. A batch depends on its index and a seed alone, so that a resumed training goes on alike.
        aside: whole batches of sources kept aside.
        work: folder of checkpoints and of the TensorBoard log.
        settings: minutes, epochs, patience, seed and device are used.
        say: called with each line for the user.
        monitor: what is to be large.
    """
    of = {"batches": len(batches)}  # type: ignore[arg-type]  # it has a length
    if not finished(work, settings, of):
        train(
            trained,
            DataLoader(batches, batch_size=None, sampler=_Onwards(of["batches"])),
            DataLoader(aside, batch_size=None, shuffle=False),
            work,
            settings,
            say,
            monitor=monitor,
            of=of,
            steepest=STEEPEST,
        )
    load_best(trained, work)
    return trained


def finished(work: Path, settings: Settings, of: dict[str, int]) -> bool:
    """Whether ``train`` came to its end in this folder with these settings, on as much as ``of`` counts."""
    done = work / DONE
    wanted = {"settings": asdict(settings), **of}
    return done.exists() and bool(json.loads(done.read_text(encoding="utf-8"))["of"] == wanted)


def train(
    trained: lightning.LightningModule,
    batches: DataLoader[Any],
    aside: DataLoader[Any],
    work: Path,
    settings: Settings,
    say: Say,
    *,
    monitor: str,
    of: dict[str, int],
    steepest: float | None = None,
) -> None:
    """Train to the end, from the last complete checkpoint on, and leave the best one and the note that it is done.

    Args:
        trained: as for ``fit_module``.
        batches, aside: what it learns from, and what decides which epoch was best.
        work, settings, say, monitor: as for ``fit_module``.
        of: how much it learned from, by name; another number is another training.
        steepest: to which the gradient is cut; None leaves it as it is.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    wanted = {"settings": asdict(settings), **of}
    begin(work, wanted, say)
    best = ModelCheckpoint(work, "best", monitor=monitor, mode="max", enable_version_counter=False)
    last = ModelCheckpoint(work, "last-{epoch}", monitor="epoch", mode="max", save_top_k=2)
    trainer = lightning.Trainer(
        max_epochs=settings.epochs,
        max_time=timedelta(minutes=settings.minutes),
        accelerator="auto" if settings.device == "auto" else settings.device,
        devices=1,
        callbacks=[
            best,
            last,
            EarlyStopping(monitor, mode="max", patience=settings.patience),
            TQDMProgressBar(refresh_rate=REFRESHED),
        ],
        logger=TensorBoardLogger(str(work), name="log", version=""),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        log_every_n_steps=REFRESHED,
        gradient_clip_val=steepest,
    )
    trainer.fit(trained, batches, aside, ckpt_path=resumable(work, say), weights_only=False)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if not Path(best.best_model_path).is_file():  # the limit in minutes ended the first epoch
        trainer.save_checkpoint(work / BEST)
    score = None if best.best_model_score is None else float(best.best_model_score)
    write_json(work / DONE, {"of": wanted, monitor: score, "epochs": trainer.current_epoch})
    say(f"{trainer.current_epoch} epochs; best {monitor.replace('_', ' ')} on sources kept aside: {score}")


def begin(work: Path, wanted: dict[str, Any], say: Say) -> None:
    """Make the folder of a training, and put aside the checkpoints of one with other settings than ``wanted``.

    Settings that only limit a training may differ: it then goes on. The checkpoints put aside are in ``work/before-N``.
    """
    work.mkdir(parents=True, exist_ok=True)
    note = work / BEGUN
    kept = {**wanted, "settings": {name: each for name, each in wanted["settings"].items() if name not in LIMITS}}
    checkpoints = [*work.glob("*.ckpt")]
    if checkpoints and note.exists() and json.loads(note.read_text(encoding="utf-8")) != kept:
        aside = work / f"before-{len([*work.glob('before-*')]) + 1}"
        aside.mkdir()
        for path in [*checkpoints, note, *work.glob(DONE)]:
            path.rename(aside / path.name)
        say(f"the checkpoints in {work.name} were made with other settings; they are kept in {work.name}/{aside.name}")
    write_json(note, kept)


def load_best(trained: lightning.LightningModule, work: Path) -> None:
    """Give ``trained`` the weights that were best in the training of this folder."""
    trained.load_state_dict(torch.load(work / BEST, map_location="cpu", weights_only=False)["state_dict"])


class _Onwards(Sampler[int]):
    def __init__(self, count: int) -> None:
        self.count, self.epoch = count, 0

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * self.count, (self.epoch + 1) * self.count))


def resumable(work: Path, say: Say) -> Path | None:
    """The newest checkpoint that can be read; a file that an interruption or a full disk left incomplete is passed over."""
    for path in sorted(work.glob("last-*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:
            say(f"{path.name} is not complete and is passed over: {error}")
            continue
        say(f"resuming from {path.name}")
        return path
    return None
