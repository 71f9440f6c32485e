"""Train one fold: read top to bottom."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from overtile.errors import InputError
from overtile.networks.device import Device
from overtile.networks.unet import CHANNELS_LAST, UNet
from overtile.networks.weights import save_weights
from overtile.planning.plan import Plan
from overtile.progress import progress
from overtile.stores.digest import digest_file
from overtile.stores.effort import add_effort, note_begin, read_effort
from overtile.stores.files import write_json, write_text
from overtile.training.checkpoint import load_checkpoint, save_checkpoint
from overtile.training.losses import loss_of
from overtile.training.samples import Slide, Tile, TileSampler, validation_tiles

BEST, LAST, CHECKPOINT = "best.safetensors", "last.safetensors", "checkpoint.pt"
HISTORY, DONE = "history.tsv", "fold.json"


def train_fold(
    plan: Plan,
    fold: int,
    train: Sequence[Slide],
    validation: Sequence[Slide],
    folder: Path,
    key: str,
    device: Device,
) -> None:
    """Train the network of a plan and leave its weights and learning curve in `folder`.

    Every epoch ends with a checkpoint under `key`; a later call with the same key goes on from
    there and ends with the same bytes as an undisturbed one, on the same machine. "best" is the
    epoch of the highest mean validation Dice, or the last without validation slides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    torch.manual_seed(plan.seed + fold)
    architecture = plan.architecture
    network = UNet(architecture).to(device.torch, memory_format=CHANNELS_LAST[architecture.ndim])
    optimiser = _optimiser(plan, network)
    state = load_checkpoint(folder / CHECKPOINT, key)
    history: list[dict] = []
    if state:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        history = state["history"]
    note_begin(folder, key, is_fresh=state is None)
    sampler = TileSampler(train, plan, fold)
    first_step = len(history) * plan.steps_per_epoch
    batches = sampler.batches(first_step, plan.epochs * plan.steps_per_epoch)
    with progress(
        plan.epochs, label=f"train fold {fold}", unit="epoch", start=len(history)
    ) as advance:
        for epoch in range(len(history), plan.epochs):
            began = time.monotonic()
            row = {"epoch": epoch + 1}
            row |= _train_epoch(plan, fold, epoch, network, optimiser, batches, device)
            if validation:
                row |= _validate(plan, network, validation_tiles(validation, plan), device)
            history.append(row)
            if _is_best(history):
                save_weights(folder / BEST, network)
            save_checkpoint(
                folder / CHECKPOINT,
                {
                    "key": key,
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "history": history,
                },
            )
            _add_seconds(folder, time.monotonic() - began, device)
            advance(f"loss {row['loss']:.4f}" + _dice_note(row))
    save_weights(folder / LAST, network)
    write_text(folder / HISTORY, _as_table(history))
    best = max(history, key=_rank)
    write_json(
        folder / DONE,
        {
            "fold": fold,
            "best_epoch": best["epoch"],
            "best": best,
            "best_sha256": digest_file(folder / BEST),
            "last_sha256": digest_file(folder / LAST),
        },
    )


def _optimiser(plan: Plan, network: torch.nn.Module) -> torch.optim.Optimizer:
    if plan.optimiser == "sgd":
        return torch.optim.SGD(network.parameters(), plan.learning_rate, momentum=0.99)
    return torch.optim.Adam(network.parameters(), plan.learning_rate)


def _train_epoch(plan, fold, epoch, network, optimiser, batches, device) -> dict:
    network.train()
    steps, total_steps = plan.steps_per_epoch, plan.epochs * plan.steps_per_epoch
    losses = []
    for step in range(epoch * steps, (epoch + 1) * steps):
        # Polynomial decay and dropout depend on the step alone, so that a resumed run repeats them.
        rate = plan.learning_rate * (1 - step / total_steps) ** 0.9
        for group in optimiser.param_groups:
            group["lr"] = rate
        torch.manual_seed(plan.seed * 1_000_003 + fold * 10_000_019 + step)
        loss = _loss(plan, network, next(batches), device)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise InputError(
                f"training: the loss became {losses[-1]} in step {step}; "
                f"lower learning_rate (now {plan.learning_rate})"
            )
    return {"learning_rate": rate, "loss": float(np.mean(losses))}


def _logits(network, tile: Tile, device: Device) -> torch.Tensor:
    image = torch.from_numpy(tile.image).to(
        device.torch, memory_format=CHANNELS_LAST[tile.image.ndim - 2]
    )
    with device.autocast():
        return network(image).float()


def _loss(plan, network, tile: Tile, device: Device) -> torch.Tensor:
    target = torch.from_numpy(tile.target).to(device.torch)
    weights = torch.from_numpy(tile.weights).to(device.torch)
    return loss_of(plan.loss, _logits(network, tile, device), target, weights)


@torch.inference_mode()
def _validate(plan, network, tiles, device) -> dict:
    network.eval()
    losses, confusion = [], np.zeros((len(plan.classes),) * 2, dtype=np.int64)
    for tile in tiles:
        logits = _logits(network, tile, device)
        target = torch.from_numpy(tile.target).to(device.torch)
        weights = torch.from_numpy(tile.weights).to(device.torch)
        losses.append(loss_of(plan.loss, logits, target, weights).item())
        counts = tile.weights > 0
        pairs = tile.target[counts] * len(confusion) + logits.argmax(1).cpu().numpy()[counts]
        confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
    total = confusion.sum(0) + confusion.sum(1)
    dice = 2 * np.diag(confusion) / np.maximum(total, 1)
    names = [f"validation_dice_{name}" for name in plan.classes]
    return {
        "validation_loss": float(np.mean(losses)),
        "validation_dice": float(dice.mean()),
        **dict(zip(names, dice.tolist(), strict=True)),
    }


def _rank(row: dict) -> tuple[float, int]:
    return (row.get("validation_dice", 0.0), row["epoch"])


def _is_best(history: list[dict]) -> bool:
    return max(history, key=_rank) is history[-1]


def _dice_note(row: dict) -> str:
    return f", validation Dice {row['validation_dice']:.4f}" if "validation_dice" in row else ""


def _as_table(history: list[dict]) -> str:
    lines = ["\t".join(history[0])] + ["\t".join(repr(v) for v in r.values()) for r in history]
    return "\n".join(lines) + "\n"


def _add_seconds(folder: Path, seconds: float, device: Device) -> None:
    """Sum up what training took, over interruptions; not part of the result."""
    before = read_effort(folder).get("seconds", 0.0)
    add_effort(
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
