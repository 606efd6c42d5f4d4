"""Export of an LMN: torch.export and ONNX, with dynamic batch and steps."""

import warnings

import pytest
import torch

from linmem.nn.lmn import LMN
from linmem.nn.scan import Batch, Weights, exportable, lmn_equations
from tests.rounding import assert_equal_but_for_rounding

SHAPES = {
    "plain": {},
    "functional, batch first": {"output": "functional", "batch_first": True},
    "stacked, deep, selu": {"num_layers": 2, "hidden_size": (4, 3), "nonlinearity": "selu", "dropout": 0.5},
    "bidirectional": {"bidirectional": True},
    "diagonal": {"memory": "diagonal", "num_layers": 2},
    "another backend": {"backend": "recompute", "nonlinearity": "relu"},
}
needs_scan = pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="this torch cannot export a scan with a dynamic number of steps"
)
pytestmark = [needs_scan, pytest.mark.filterwarnings("ignore")]


def layer_and_inputs(arguments, steps=6, batch=2):
    torch.manual_seed(0)
    layer = LMN(**({"input_size": 3, "hidden_size": 4, "memory_size": 5} | arguments)).eval()
    x = torch.randn(batch, steps, 3) if layer.batch_first else torch.randn(steps, batch, 3)
    return layer, x, torch.randn(layer.num_layers * layer.num_directions, batch, 5)


def dynamic(layer):
    steps, batch = torch.export.Dim("steps", min=1), torch.export.Dim("batch", min=1)
    return {"x": {0: batch, 1: steps} if layer.batch_first else {0: steps, 1: batch}, "m_0": {1: batch}}


@pytest.mark.parametrize("arguments", SHAPES.values(), ids=SHAPES)
def test_exported_program_runs_at_other_sizes(arguments):
    layer, x, m_0 = layer_and_inputs(arguments)
    with torch.no_grad():
        program = torch.export.export(layer, (x, m_0), dynamic_shapes=dynamic(layer)).module()
        for steps, batch in ((6, 2), (1, 1), (11, 4)):
            _, x, m_0 = layer_and_inputs(arguments, steps, batch)
            assert_equal_but_for_rounding(program(x, m_0), layer(x, m_0), terms=12, steps=steps)


def test_saved_program_is_loaded_and_runs(tmp_path):
    layer, x, _ = layer_and_inputs({"num_layers": 2})
    steps, batch = torch.export.Dim("steps", min=1), torch.export.Dim("batch", min=1)
    program = torch.export.export(layer, (x,), dynamic_shapes={"x": {0: steps, 1: batch}})
    torch.export.save(program, tmp_path / "lmn.pt2")
    loaded, x = torch.export.load(tmp_path / "lmn.pt2").module(), torch.randn(11, 3, 3)
    assert_equal_but_for_rounding(loaded(x)[0], layer(x)[0], terms=12, steps=11)


@pytest.mark.parametrize("arguments", [s for n, s in SHAPES.items() if n != "another backend"])
def test_onnx_runtime_agrees_at_other_sizes(arguments, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    layer, x, m_0 = layer_and_inputs(arguments)
    path = tmp_path / "lmn.onnx"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(layer, (x, m_0), dynamo=True, dynamic_shapes=dynamic(layer), verbose=False).save(path)
    session = onnxruntime.InferenceSession(path)
    names = [node.name for node in session.get_inputs()]
    for steps, batch in ((6, 2), (1, 1), (37, 4)):
        _, x, m_0 = layer_and_inputs(arguments, steps, batch)
        outputs = session.run(None, dict(zip(names, (x.numpy(), m_0.numpy()), strict=True)))
        with torch.no_grad():
            expected = layer(x, m_0)
        assert_equal_but_for_rounding([torch.from_numpy(one) for one in outputs], expected, terms=12, steps=steps)


@pytest.mark.parametrize("output", ["memory", "functional"])
def test_the_operator_itself_equals_the_reference(output):
    layer, x, m_0 = layer_and_inputs({})
    weights = Weights.from_flat([t.detach() for t in layer._weights("_l0").flat()])
    batch = Batch(x, m_0[0], weights, "tanh", output)
    assert_equal_but_for_rounding(exportable.scan(batch), lmn_equations.scan(batch), terms=12, steps=len(x))


def test_packed_batches_are_rejected():
    layer, x, m_0 = layer_and_inputs({"backend": "export"})
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 3]))
    with pytest.raises(ValueError, match="must be a padded batch with backend='export', got a PackedSequence"):
        layer(packed, m_0)
