"""Train one fold: read top to bottom."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from overtile.errors import InputError
from overtile.geometry.dice import class_dice, foreground_mean
from overtile.networks.blocks import CHANNELS_LAST, use_layout
from overtile.networks.device import Device
from overtile.planning.plan import Plan
from overtile.progress import progress
from overtile.stores.run_log import add_to_run_log, log_start, read_run_log
from overtile.training.checkpoint import Origin, State, forget_checkpoint, save_checkpoint
from overtile.training.losses import LOSSES
from overtile.training.results import DONE, rank, write_results
from overtile.training.samples import Slide, Tile, TileSampler, validation_tiles

MOMENTUM = 0.99
LARGEST_GRADIENT = 10.0
DECAY = 0.9


def train_fold(
    plan: Plan,
    fold: int,
    slides: dict[str, Slide],
    folder: Path,
    origin: Origin,
    state: State | None,
    device: Device,
) -> None:
    """Train the network of a plan and leave its weights and learning curve in `folder`.

    slides: by name. state: of a checkpoint of this origin, to go on from; None to begin. Every
    epoch ends with a checkpoint; a later call that goes on from it ends with the same bytes as an
    undisturbed one, on the same machine. The best epoch is that of the highest `results.rank`.
    """
    train, validation = (
        [slides[name] for name in sorted(names)]
        for names in (plan.folds[fold].train, plan.folds[fold].validation)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    log_start(folder, origin.key, state is None, origin.code)
    network, optimiser = begin(plan, fold, device)
    history: list[dict] = []
    best: dict | None = None
    if state is None:
        forget_checkpoint(folder)
    else:
        network.load_state_dict(state.network)
        if state.optimiser is not None:
            optimiser.load_state_dict(state.optimiser)
        history, best = list(state.history), state.best
    first_step = len(history) * plan.steps_per_epoch
    batches = TileSampler(train, plan, fold).batches(first_step, plan.epochs * plan.steps_per_epoch)
    with progress(
        plan.epochs, label=f"train fold {fold}", unit="epoch", start=len(history)
    ) as advance:
        for epoch in range(len(history), plan.epochs):
            began = time.monotonic()
            row = {"epoch": epoch + 1}
            row |= train_epoch(plan, fold, epoch, network, optimiser, batches, device)
            if validation:
                row |= validate(plan, network, validation_tiles(validation, plan), device)
            history.append(row)
            if max(history, key=rank) is row:
                best = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
            rest = optimiser.state_dict() if epoch + 1 < plan.epochs else None
            save_checkpoint(folder, State(origin, fold, network.state_dict(), rest, best, history))
            _add_seconds(folder, time.monotonic() - began, device)
            advance(f"loss {row['loss']:.4f}" + _dice_note(row))
    write_results(folder, State(origin, fold, network.state_dict(), None, best, history))


def begin(plan: Plan, fold: int, device: Device) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The network of a plan before its first step, the same every time, and its optimiser.

    Source: the momentum is that of Ronneberger et al. 2015, section 3, arXiv:1505.04597.
    """
    torch.manual_seed(plan.seed + fold)
    network = plan.network.build(plan.architecture).to(device.torch)
    network = use_layout(network, plan.geometry.ndim)
    if plan.optimiser == "sgd":
        return network, torch.optim.SGD(network.parameters(), plan.learning_rate, MOMENTUM)
    return network, torch.optim.Adam(network.parameters(), plan.learning_rate)


def learning_rate(plan: Plan, step: int) -> float:
    """The learning rate of a step, counted from 0: polynomial decay to almost 0 at the end."""
    return plan.learning_rate * (1 - step / (plan.epochs * plan.steps_per_epoch)) ** DECAY


def train_epoch(
    plan: Plan,
    fold: int,
    epoch: int,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Iterator[Tile],
    device: Device,
) -> dict:
    """All steps of an epoch, counted from 0; the last learning rate and the mean loss."""
    network.train()
    losses = []
    for step in range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch):
        # Decay and dropout depend on the step alone, so that a resumed run repeats them.
        rate = learning_rate(plan, step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        torch.manual_seed(plan.seed * 1_000_003 + fold * 10_000_019 + step)
        losses.append(take_step(plan, network, optimiser, next(batches), device))
        if not np.isfinite(losses[-1]):
            raise InputError(
                f"training: the loss became {losses[-1]} in step {step}; "
                f"lower learning_rate (now {plan.learning_rate})"
            )
    return {"learning_rate": rate, "loss": float(np.mean(losses))}


def take_step(
    plan: Plan, network: nn.Module, optimiser: torch.optim.Optimizer, batch: Tile, device: Device
) -> float:
    """One step of the optimiser, its gradient clipped to a length of 10; the loss before it."""
    loss, _ = _loss_and_logits(plan, network, batch, device)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimiser.step()
    return loss.item()


def _loss_and_logits(
    plan: Plan, network: nn.Module, batch: Tile, device: Device
) -> tuple[torch.Tensor, torch.Tensor]:
    layout = CHANNELS_LAST[plan.geometry.ndim]
    image = torch.from_numpy(batch.image).to(device.torch, memory_format=layout)
    with device.autocast():
        logits = network(image).float()
    labels = torch.from_numpy(batch.labels).to(device.torch)
    weights = torch.from_numpy(batch.weights).to(device.torch)
    return LOSSES.load(plan.loss)(logits, labels, weights), logits


@torch.inference_mode()
def validate(plan: Plan, network: nn.Module, tiles: Iterable[Tile], device: Device) -> dict:
    """Mean loss of some tiles, and Dice over all their pixels that count, as `geometry.dice` says.

    `validation_dice` is the mean over the foreground; None for what was not measured.
    """
    network.eval()
    losses, confusion = [], np.zeros((len(plan.classes),) * 2, dtype=np.int64)
    for tile in tiles:
        loss, logits = _loss_and_logits(plan, network, tile, device)
        losses.append(loss.item())
        counts = tile.weights > 0
        pairs = tile.labels[counts] * len(confusion) + logits.argmax(1).cpu().numpy()[counts]
        confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
    dice = class_dice(confusion)
    names = [f"validation_dice_{name}" for name in plan.classes]
    return {
        "validation_loss": float(np.mean(losses)),
        "validation_dice": foreground_mean(dice),
        **dict(zip(names, dice, strict=True)),
    }


def _dice_note(row: dict) -> str:
    dice = row.get("validation_dice")
    return "" if dice is None else f", validation Dice {dice:.4f}"


def _add_seconds(folder: Path, seconds: float, device: Device) -> None:
    """Sum up what training took, over interruptions; not part of the result."""
    before = read_run_log(folder).get("seconds", 0.0)
    add_to_run_log(
        folder,
        seconds=round(before + seconds, 1),
        device=_device_name(device),
        precision=device.precision,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def _device_name(device: Device) -> str:
    if device.torch.type == "cuda":
        return torch.cuda.get_device_name(device.torch)
    return "cpu"
