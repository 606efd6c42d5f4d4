"""NADE: fused against reference, gradients, enumeration, orders, sampling, the module."""

import math

import pytest
import torch

from linmem.nn.nade import NADE, Voices, estimate_marginals, nade_logits, nade_nll, sample_frames
from linmem.nn.nade.joint_sampling import keep_top_p, next_note_distribution
from linmem.nn.nade.reference import enumerate_frames, reference_logits, reference_nll

KINDS = ["sparse", "half", "silent", "full", "one", "none", "mixed"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(m, d, h, seed=0, dtype=torch.float64, scale=1.0):
    g = generator(seed)
    return [scale * torch.randn(*shape, generator=g, dtype=dtype) for shape in ((m, h), (m, d), (d, h), (d, h))]


def frames(m, d, density, seed=1, dtype=torch.float64):
    return (torch.rand(m, d, generator=generator(seed)) < density).to(dtype)


def frame_set(kind, d=11):
    return {
        "sparse": frames(40, d, 0.1),
        "half": frames(40, d, 0.5),
        "silent": torch.zeros(5, d).double(),
        "full": torch.ones(5, d).double(),
        "one": frames(1, d, 0.4),
        "none": torch.zeros(0, d).double(),
        "mixed": torch.cat([torch.zeros(3, d), torch.ones(2, d), torch.eye(d)]).double(),
    }[kind]


def expand(q, n):
    c, b, w, v = q
    return c.expand(n, -1), b.expand(n, -1), w, v


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_equal_the_reference(kind):
    x = frame_set(kind)
    p = [t.requires_grad_() for t in parameters(len(x), 11, 7)]
    weight = torch.randn(x.shape, generator=generator(5), dtype=torch.float64)
    fused, reference = nade_logits(*p, x), reference_logits(*p, x)
    torch.testing.assert_close(fused, reference, **EXACT)
    gradients = (torch.autograd.grad((logits * weight).sum(), p) for logits in (fused, reference))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    torch.testing.assert_close(nade_nll(*p, x), reference_nll(*p, x), **EXACT)


def test_float32_nll_at_real_size_equals_the_reference():
    x = frames(200, 88, 0.045, dtype=torch.float32)
    p = parameters(200, 88, 150, dtype=torch.float32, scale=0.1)
    torch.testing.assert_close(nade_nll(*p, x), reference_nll(*p, x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["sparse", "half", "mixed"])
@pytest.mark.parametrize("order", [None, torch.arange(11).flip(0)], ids=["ascending", "descending"])
def test_gradcheck(kind, order):
    x = frame_set(kind)[:8]
    p = [t.requires_grad_() for t in parameters(len(x), 11, 5)]
    assert torch.autograd.gradcheck(lambda *q: nade_nll(*q, x, order), p)


def test_second_derivatives_are_refused():
    x = frame_set("sparse")
    p = [t.requires_grad_() for t in parameters(len(x), 11, 5)]
    (gradient,) = torch.autograd.grad(nade_nll(*p, x).sum(), p[2], create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(gradient.sum(), p[2])


@pytest.mark.parametrize("d", [1, 2, 6, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_probabilities_of_all_frames_sum_to_one(d, seed):
    x = enumerate_frames(d)
    order = torch.randperm(d, generator=generator(seed))
    total = torch.exp(-nade_nll(*expand(parameters(1, d, 9, seed), len(x)), x, order)).sum()
    assert abs(total - 1) < 1e-12


def test_permuted_notes_with_permuted_parameters_have_the_same_nll():
    x = frames(30, 12, 0.3)
    c, b, w, v = parameters(30, 12, 8)
    s = torch.randperm(12, generator=generator(3))
    base = nade_nll(c, b, w, v, x)
    # note k of the permuted problem is note s[k]; the chain must visit it in the old sequence: order = argsort(s)
    permuted = (c, b[:, s], w[s], v[s], x[:, s], torch.argsort(s))
    torch.testing.assert_close(base, nade_nll(*permuted), **EXACT)
    torch.testing.assert_close(nade_logits(c, b, w, v, x)[:, s], nade_logits(*permuted), **EXACT)
    other = nade_nll(c, b, w, v, x, s)
    torch.testing.assert_close(other, reference_nll(c, b[:, s], w[s], v[s], x[:, s]), **EXACT)
    assert (other - base).abs().max() > 1e-3


def test_a_logit_depends_only_on_earlier_notes():
    x, p = frames(4, 9, 0.4), parameters(4, 9, 6)
    changed = x.clone()
    changed[:, 5] = 1 - changed[:, 5]
    a, b = nade_logits(*p, x), nade_logits(*p, changed)
    torch.testing.assert_close(a[:, :6], b[:, :6], **EXACT)
    assert (a[:, 6:] - b[:, 6:]).abs().max() > 1e-6


def small_problem(order=None, seed=2):
    """All frames of 6 notes, the parameters of one distribution, and the probability of every frame."""
    x = enumerate_frames(6)
    q = parameters(1, 6, 6, seed, scale=0.4)
    return x, q, torch.exp(-nade_nll(*expand(q, len(x)), x, order))


def chi_square(samples, x, p):
    """Chi-square statistic of the samples, in standard deviations from its mean."""
    code = 2 ** torch.arange(x.shape[1] - 1, -1, -1, dtype=torch.float64)
    counts = torch.bincount((samples @ code).long(), minlength=len(x)).double()
    assert counts[p == 0].sum() == 0
    counts, expected = counts[p > 0], p[p > 0] * len(samples)
    freedom = len(counts) - 1
    return float(((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("order", [None, torch.arange(6).flip(0), torch.tensor([3, 0, 5, 1, 4, 2])])
def test_samples_follow_the_enumerated_distribution(order):
    x, q, p = small_problem(order)
    samples = sample_frames(*expand(q, 100_000), order=order, generator=generator())
    assert abs(chi_square(samples, x, p)) < 4


def test_given_first_notes_are_conditioned_on_exactly():
    order = torch.arange(6).flip(0)
    x, q, p = small_problem(order)
    given = torch.tensor([torch.nan] * 4 + [1.0, 0.0], dtype=torch.float64)  # the top note silent, the next one sounds
    keep = (x[:, 4] == 1) & (x[:, 5] == 0)
    p = torch.where(keep, p, 0) / p[keep].sum()
    samples = sample_frames(*expand(q, 50_000), order=order, given=given.expand(50_000, -1), generator=generator())
    assert abs(chi_square(samples, x, p)) < 4


def test_given_notes_anywhere_follow_the_chain_with_the_given_values():
    x, q, _ = small_problem()
    given = torch.tensor([torch.nan, torch.nan, 1.0, torch.nan, 0.0, torch.nan], dtype=torch.float64)
    logits = nade_logits(*expand(q, 64), x)
    terms = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    p = torch.exp(-terms[:, given.isnan()].sum(1)) * ((x[:, 2] == 1) & (x[:, 4] == 0))
    assert abs(p.sum() - 1) < 1e-12
    samples = sample_frames(*expand(q, 50_000), given=given.expand(50_000, -1), generator=generator())
    assert abs(chi_square(samples, x, p)) < 4


@pytest.mark.parametrize("voices", [0, 1, 4, 8])
@pytest.mark.parametrize("clamped", [False, True])
def test_a_fixed_number_of_voices_is_kept(voices, clamped):
    given = None
    if clamped:
        given = torch.full((500, 8), torch.nan, dtype=torch.float64)
        given[:, 3], given[:, 6] = 1, 0
    fixed = Voices(minimum=voices, maximum=voices)
    samples = sample_frames(*parameters(500, 8, 6), given=given, voices=fixed, generator=generator())
    assert (samples.sum(1) == (min(max(voices, 1), 7) if clamped else voices)).all()
    if clamped:
        assert (samples[:, 3] == 1).all()
        assert (samples[:, 6] == 0).all()


def test_samples_repeat_with_the_generator_and_keep_the_bounds():
    q = parameters(300, 20, 6)

    def sample(seed, **options):
        return sample_frames(*q, voices=Voices(**options), generator=generator(seed))

    assert torch.equal(sample(1), sample(1))
    assert not torch.equal(sample(1), sample(2))
    counts = sample(1, minimum=2, maximum=5).sum(1)
    assert counts.min() >= 2
    assert counts.max() <= 5
    assert torch.equal(sample(1, temperature=0.0), sample(2, temperature=0.0))
    assert torch.equal(sample(1, top_p=1e-9), sample(1, temperature=0.0))
    assert torch.equal(sample(1, temperature=1e-4), sample(1, temperature=0.0))


def test_next_note_distribution_is_the_chain():
    logits = parameters(5, 7, 1)[1]
    free = torch.ones(5, 7, dtype=torch.bool)
    free[2, 3] = False
    p = next_note_distribution(logits, free).exp()
    torch.testing.assert_close(p.sum(1), torch.ones(5).double(), **EXACT)
    on = torch.sigmoid(logits)
    assert abs(p[0, 2] - (1 - on[0, 0]) * (1 - on[0, 1]) * on[0, 2]) < 1e-12
    assert p[2, 3] == 0


def test_top_p_keeps_the_smallest_set():
    kept = keep_top_p(torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log(), 0.75)
    assert kept.isfinite().tolist() == [[True, True, False, False]]


def test_marginals_lie_within_their_errors_of_the_enumeration():
    x, q, p = small_problem(seed=4)
    estimate = estimate_marginals(*expand(q, 200), n_samples=100, generator=generator())
    assert estimate.standard_error[:, 0].max() < 1e-12  # the first note has an exact marginal
    z = ((estimate.probability - p @ x) / estimate.standard_error)[:, 1:]
    assert z.abs().max() < 6
    assert 0.8 < float(z.std()) < 1.2


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"minimum": 3, "maximum": 2}, "voices"),
        ({"minimum": -1}, "voices"),
    ],
)
def test_voices_out_of_range_are_refused(wrong, name):
    with pytest.raises(ValueError, match=name):
        Voices(**wrong)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_the_module_is_the_reference_on_its_own_biases(order):
    torch.manual_seed(0)
    nade = NADE(5, 9, 6, order, dtype=torch.float64)
    features, x = torch.randn(3, 7, 5, dtype=torch.float64), frames(21, 9, 0.3).view(3, 7, 9)
    c, b = nade.biases(features).flatten(0, 1).split([6, 9], 1)
    s = torch.arange(9) if order == "ascending" else torch.arange(9).flip(0)
    expected = reference_nll(c, b[:, s], nade.weight_in[0, s], nade.weight_out[0, s], x.flatten(0, 1)[:, s])
    torch.testing.assert_close(nade(features, x), expected.view(3, 7), **EXACT)


def test_distributions_are_indexed_like_tensors():
    nade = NADE(5, 9, 6, "descending")
    features, x = torch.randn(3, 7, 5), frames(21, 9, 0.3, dtype=torch.float32).view(3, 7, 9)
    mask = torch.rand(3, 7, generator=generator()) < 0.5
    outputs = nade.distribution(nade.biases(features))
    torch.testing.assert_close(outputs[mask].nll(x[mask]), outputs.nll(x)[mask])
    assert outputs.sample(generator=generator()).shape == (3, 7, 9)
    assert outputs.marginals(3, generator()).standard_error.shape == (3, 7, 9)


def test_frames_in_another_order_of_their_dimensions_are_refused():
    nade = NADE(5, 9, 6)
    outputs = nade.distribution(nade.biases(torch.randn(3, 7, 5)))
    for shape in ((7, 3, 9), (21, 9), (9, 7, 3)):
        expected = r"must have the shape of the distributions, \(3, 7, 9\), got \(" + ", ".join(map(str, shape))
        for call in (outputs.nll, outputs.training_loss):
            with pytest.raises(ValueError, match=f"frames {expected}"):
                call(torch.zeros(shape))
        with pytest.raises(ValueError, match=f"given {expected}"):
            outputs.sample(torch.full(shape, torch.nan))


def test_descent_learns_a_dependence_between_notes():
    """Two notes always sound together, half of the time: log 2 nats jointly, 2 log 2 as independent notes."""
    torch.manual_seed(0)
    nade = NADE(1, 2, 4)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    optimizer = torch.optim.Adam(nade.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        nade(torch.ones(2, 1), x).mean().backward()
        optimizer.step()
    assert abs(nade(torch.ones(2, 1), x).mean().item() - math.log(2)) < 0.05


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 9, 6), "features"), ((5, 0, 6), "notes"), ((5, 9, 0), "hidden_size"), ((5, 9, 6, "upwards"), "order")],
)
def test_bad_sizes_and_orders_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        NADE(*arguments)


def test_marginals_need_two_samples():
    with pytest.raises(ValueError, match="n_samples must be at least 2"):
        NADE(5, 9, 6).marginals(torch.zeros(1, 5), 1)
