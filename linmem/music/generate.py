"""Continuation of a piece by a trained model: the prompt sets the model's state, then frames are sampled one by one.

Symbols: T frames of the prompt, S frames to sample, a notes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linmem.data.midi import NOTES
from linmem.music.sampling import SamplingOptions, check_options, sample_frame
from linmem.nn.nade.module import FrameDistribution
from linmem.nn.nade.sampling import Voices
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
        Trained to predict the next frame, by independent notes or jointly (a NADE readout).
    prompt : Tensor
        (T, a) piano roll of 0 and 1, T ≥ 1. With 176 columns, the second half marks onsets.
    steps : int
        S, the number of frames to sample.
    temperature, top_p, voices, max_voices
        See `SamplingOptions`. With a NADE readout, temperature and top-p act on the choice of the next note, and the
        number of notes is a bound during sampling (`linmem.nn.nade.sampling.Voices`).
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
    if onsets and model.is_joint and (voices is not None or max_voices is not None):
        raise ValueError("voices and max_voices must be None for a joint model with onsets, got a number. Omit them.")
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    outputs, state = model(prompt[None])
    frames = [prompt[-1]]
    for _ in range(steps):
        frame = _sample(outputs[0, -1], options, onsets, generator)
        if onsets:  # an onset belongs to an active note, and a note that was not active before has one
            active, onset = frame[:NOTES], frame[NOTES:]
            frame = torch.cat([active, active & (onset | (frames[-1][:NOTES].cpu() == 0))])
        frames.append(frame.to(prompt))
        outputs, state = model(frames[-1][None, None], state)
    model.train(was_training)
    return torch.stack(frames[1:])


def _sample(
    outputs: Tensor | FrameDistribution, options: SamplingOptions, onsets: bool, generator: torch.Generator
) -> Tensor:
    """Sample one frame, (a,) bool on the CPU; the number of voices bounds active notes, not onsets."""
    if isinstance(outputs, FrameDistribution):
        limits = Voices(options.temperature, options.top_p, options.voices or 0, options.voices or options.max_voices)
        return outputs.sample(voices=limits, generator=generator).cpu().bool()
    logits = outputs.cpu()
    if not onsets:
        return sample_frame(logits, options, generator)
    active = sample_frame(logits[:NOTES], options, generator)
    return torch.cat([active, sample_frame(logits[NOTES:], options._replace(voices=None, max_voices=None), generator)])
