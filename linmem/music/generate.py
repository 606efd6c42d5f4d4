"""Continuation of a piece by a trained model: the prompt sets the model's state, then frames are sampled one by one.

Symbols: T frames of the prompt, S frames to sample, a notes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linmem.data.midi import NOTES
from linmem.music.sampling import SamplingOptions, check_options, sample_frame
from linmem.nn.sequence_model import SequenceModel


@torch.no_grad()
def continue_piece(
    model: nn.Module,
    prompt: Tensor,
    steps: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    voices: int | None = None,
    max_voices: int | None = None,
    seed: int = 0,
) -> Tensor:
    """Continue a piano roll by frames sampled from a model.

    Parameters
    ----------
    model : SequenceModel
        Trained to predict the logits of the next frame.
    prompt : Tensor
        (T, a) piano roll of 0 and 1, T ≥ 1. With 176 columns, the second half marks onsets.
    steps : int
        S, the number of frames to sample.
    temperature, top_p, voices, max_voices
        See `SamplingOptions`.
    seed : int
        The same seed gives the same continuation.

    Returns
    -------
    Tensor
        (S, a), the continuation without the prompt.

    Raises
    ------
    ValueError
        The model has no state, or a number is out of range.

    Examples
    --------
    >>> model = SequenceModel(nn.LSTM(88, 4, batch_first=True), nn.Linear(4, 88))
    >>> continuation = continue_piece(model, torch.zeros(2, 88), steps=5, voices=4)
    >>> continuation.shape, continuation.sum(1).tolist()
    (torch.Size([5, 88]), [4.0, 4.0, 4.0, 4.0, 4.0])
    """
    if not isinstance(model, SequenceModel):
        raise ValueError(
            f"model must carry a state between frames, got a {type(model).__name__}. Generate with a recurrent model."
        )
    for name, value in (("steps", steps), ("prompt length", len(prompt))):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}. Raise it.")
    onsets = prompt.shape[1] == 2 * NOTES
    options = SamplingOptions(temperature, top_p, voices, max_voices)
    check_options(options, NOTES if onsets else prompt.shape[1])
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    logits, state = model(prompt[None])
    frames = [prompt[-1]]
    for _ in range(steps):
        last = logits[0, -1].cpu()
        if onsets:
            frame = _sample_with_onsets(last, frames[-1].cpu(), options, generator)
        else:
            frame = sample_frame(last, options, generator)
        frames.append(frame.to(prompt))
        logits, state = model(frames[-1][None, None], state)
    model.train(was_training)
    return torch.stack(frames[1:])


def _sample_with_onsets(logits: Tensor, before: Tensor, options: SamplingOptions, generator: torch.Generator) -> Tensor:
    """Sample active notes, then onsets among them; a note that was not active before always has an onset."""
    active = sample_frame(logits[:NOTES], options, generator)
    unrestricted = options._replace(voices=None, max_voices=None)
    onset = sample_frame(logits[NOTES:], unrestricted, generator)
    return torch.cat([active, active & (onset | (before[:NOTES] == 0))])
