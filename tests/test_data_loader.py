"""Layers and closed forms inside DataLoader workers, which are forked or spawned, give the numbers of this process."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from linmem import LMN, LinearAutoencoder


def sequence(index):
    return np.random.default_rng(index).normal(size=(9, 3)).cumsum(0).astype(np.float32)


class States(Dataset):
    """States and gradients of a layer and states of an autoencoder, computed where an item is read."""

    def __init__(self):
        torch.manual_seed(0)
        self.layer = LMN(3, 4, 5)
        self.autoencoder = LinearAutoencoder(4).fit([sequence(index) for index in range(6)])

    def __len__(self):
        return 6

    def __getitem__(self, index):
        outputs, _ = self.layer(torch.from_numpy(sequence(index)))
        (gradient,) = torch.autograd.grad(outputs.square().sum(), self.layer.weight_mm_l0)
        (states,) = self.autoencoder.encode([sequence(index)])
        fitted = LinearAutoencoder(2).fit([sequence(index), sequence(index + 1)])
        return outputs.detach(), gradient, torch.as_tensor(states), torch.as_tensor(fitted.singular_values_)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_compute_what_this_process_computes(method, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # with two, the pool of threads exists here before the fork
    try:
        states = States()
        expected = [states[index] for index in range(len(states))]
        found = list(DataLoader(states, batch_size=None, num_workers=1, multiprocessing_context=method, timeout=120))
    finally:
        torch.set_num_threads(before)
    for here, there in zip(expected, found, strict=True):
        for one, other in zip(here, there, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
