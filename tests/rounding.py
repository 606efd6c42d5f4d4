"""The one tolerance of numerical tests: it follows from dtype, number of terms, number of steps, and norm.

A sum of n products in floating point has a relative error of about √n · eps (Higham & Mary 2019), in any order of the
sum; the order differs between processors and libraries. In a recurrence the errors of T steps add up, at most T-fold
where the recurrence is a contraction. The factor covers nonlinearities and moderate growth from step to step.
"""

import torch

FACTOR = 8


def tolerance(dtype, terms, steps=1):
    """Relative error allowed in `dtype` after `steps` steps with `terms` rounded additions per number."""
    return FACTOR * torch.finfo(dtype).eps * terms**0.5 * steps


def assert_equal_but_for_rounding(found, exact, terms, steps=1):
    """‖found − exact‖ ≤ tolerance · norm, for one tensor or for each of several; compute `exact` in float64.

    The norm is the largest one among the `exact`: a sum that cancels has the error of its terms, not of its value.
    """
    if isinstance(found, torch.Tensor):
        found, exact = [found], [exact]
    norm = max(float(other.detach().double().norm()) for other in exact)
    for i, (one, other) in enumerate(zip(found, exact, strict=True)):
        assert one.shape == other.shape, f"tensor {i}"
        error, allowed = (one.double() - other.double()).norm(), tolerance(one.dtype, terms, steps) * norm
        assert error <= allowed, f"tensor {i}: error {error:.2e} exceeds {allowed:.2e}, norm {norm:.2e}"
