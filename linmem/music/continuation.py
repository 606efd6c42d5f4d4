"""Continuation of a piece by a trained model: the prompt sets the model's state, then frames are sampled one by one.

Symbols: T frames of the prompt, S frames to sample, a notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from linmem.data.midi import NOTES
from linmem.music.sampling import DEFAULTS, SamplingOptions, check_options, sample_frame
from linmem.nn.nade import FrameDistribution, Voices
from linmem.nn.sequence_model import SequenceModel


@torch.no_grad()
def continue_piece(model: nn.Module, prompt: Tensor, steps: int, sampling: SamplingOptions = DEFAULTS) -> Tensor:
    """Continue a piano roll by frames sampled from a model.

    Parameters
    ----------
    model : SequenceModel
        Trained to predict the next frame: the logits of independent notes, or with a NADE a joint distribution.
    prompt : Tensor
        (T, a) piano roll of 0 and 1, T ≥ 1. With 176 columns, the second half marks onsets.
    steps : int
        S, the number of frames to sample.
    sampling : SamplingOptions
        Temperature, nucleus, number of voices and seed.

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
    >>> continuation = continue_piece(model, torch.zeros(2, 88), 5, SamplingOptions(voices=4))
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
    check_options(sampling, NOTES if onsets else prompt.shape[1])
    generator = torch.Generator().manual_seed(sampling.seed)
    frames = [prompt[-1]]
    with evaluation_mode(model):
        outputs, state = model(prompt[None])
        for _ in range(steps):
            frames.append(sample_next(outputs[:, -1], frames[-1][None], sampling, generator)[0])
            outputs, state = model(frames[-1][None, None], state)
    return torch.stack(frames[1:])


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Set a model to evaluation mode, and back to the mode it was in at the end of the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def sample_next(
    outputs: Tensor | FrameDistribution, before: Tensor, options: SamplingOptions, generator: torch.Generator
) -> Tensor:
    """Sample a frame for each of N sequences.

    Parameters
    ----------
    outputs : Tensor or FrameDistribution
        The model's outputs after the last frames, for (N,) positions.
    before : Tensor
        (N, a), the last frames.
    options : SamplingOptions
        Temperature, nucleus and number of voices.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor
        (N, a), of the dtype and on the device of `before`.
    """
    outputs, last = outputs.cpu(), before.cpu()
    onsets = last.shape[1] == 2 * NOTES
    if isinstance(outputs, FrameDistribution) and not onsets:
        return outputs.sample(voices=joint_voices(options), generator=generator).to(before)
    rows = []
    for row, frame in enumerate(last):
        one = outputs[row]
        if isinstance(one, FrameDistribution):
            rows.append(_sample_joint(one, frame, options, generator))
        elif onsets:
            rows.append(_sample_with_onsets(one, frame, options, generator))
        else:
            rows.append(sample_frame(one, options, generator))
    return torch.stack(rows).to(before)


def joint_voices(options: SamplingOptions) -> Voices:
    """Options of a NADE's sampler that correspond to `options`."""
    maximum = options.max_voices if options.voices is None else options.voices
    return Voices(options.temperature, options.top_p, options.voices or 0, maximum)


def _sample_joint(
    distribution: FrameDistribution, before: Tensor, options: SamplingOptions, generator: torch.Generator
) -> Tensor:
    """Sample active notes, then onsets among them, in ascending order if the model has it: active notes come first."""
    distribution = distribution.only(descending=False) or distribution
    unknown = torch.full((NOTES,), torch.nan)
    given = torch.cat([unknown, torch.zeros(NOTES)])
    active = distribution.sample(given, joint_voices(options), generator)[:NOTES]
    onset = torch.where(active == 1, torch.where(before[:NOTES] == 0, 1.0, torch.nan), 0.0)
    unrestricted = Voices(options.temperature, options.top_p)
    return distribution.sample(torch.cat([active, onset]), unrestricted, generator)


def _sample_with_onsets(logits: Tensor, before: Tensor, options: SamplingOptions, generator: torch.Generator) -> Tensor:
    """Sample active notes, then onsets among them; a note that was not active before always has an onset."""
    active = sample_frame(logits[:NOTES], options, generator)
    unrestricted = replace(options, voices=None, max_voices=None)
    onset = sample_frame(logits[NOTES:], unrestricted, generator)
    return torch.cat([active, active & (onset | (before[:NOTES] == 0))])
