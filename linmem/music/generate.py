"""Continue a piece: feed what was heard, then draw frame after frame, each note from its own probability.

Letters: T frames heard, S frames to draw, a notes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linmem.nn.sequence_model import SequenceModel


@torch.no_grad()
def continue_piece(
    model: nn.Module,
    prompt: Tensor,
    steps: int,
    *,
    temperature: float = 1.0,
    voices: int | None = None,
    seed: int = 0,
) -> Tensor:
    """Continue `prompt` by `steps` frames drawn from `model`.

    Parameters
    ----------
    model : a `SequenceModel` trained to predict the next frame.
    prompt : (T, a) piano roll, T ≥ 1, entries 0 or 1.
    steps : S, frames to draw.
    temperature : the logits are divided by it: below 1 bolder, above 1 more random, near 0 the likeliest frame.
    voices : sound at most so many notes at once, the likeliest of those drawn.
    seed : the same seed draws the same music.

    Returns
    -------
    Tensor
        (S, a) piano roll, the continuation alone.
    """
    if not isinstance(model, SequenceModel):
        raise ValueError(
            f"a {type(model).__name__} carries no state from frame to frame: generate with a recurrent model"
        )
    for name, value in (
        ("steps", steps),
        ("voices", 1 if voices is None else voices),
        ("temperature", temperature),
        ("prompt length", len(prompt)),
    ):
        if not value > 0:
            raise ValueError(f"{name} is {value}: a number above 0 was wanted")
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    logits, state = model(prompt[None])
    frames = []
    for _ in range(steps):
        probabilities = torch.sigmoid(logits[0, -1].cpu() / temperature)
        frame = (torch.rand(probabilities.shape, generator=generator) < probabilities).to(prompt)
        if voices is not None and frame.sum() > voices:
            likeliest = (probabilities * frame.cpu()).topk(voices).indices
            frame = torch.zeros_like(frame).index_fill_(0, likeliest.to(frame.device), 1.0)
        frames.append(frame)
        logits, state = model(frame[None, None], state)
    model.train(was_training)
    return torch.stack(frames)
