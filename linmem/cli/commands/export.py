"""`linmem export`: a trained model as ONNX graphs or as one C file."""

from __future__ import annotations

from pathlib import Path


def export(
    run: str,
    *,
    format: str = "onnx",
    out: str | None = None,
    name: str = "model",
    best_by: str = "loss",
    force: bool = False,
) -> None:
    """Export a trained model to ONNX or C, compared with Python before the command ends.

    ONNX, for networks: NAME.onnx reads sequences, batch and steps dynamic, and NAME_step.onnx one step with its state.
    C, for networks and estimators: NAME.c, one self-contained C99 file for microcontrollers with NAME_reset and
    NAME_step, and NAME.h. Layers can be LMN, LSTM, GRU, RNN and solved memories, with a linear readout.

    Parameters
    ----------
    run : str
        Run directory that `linmem train` wrote, or a file that the `save` of an estimator wrote (C only).
    format : str
        onnx or c.
    out : str
        Output folder; by default RUN/export.
    name : str
        Name of the files, and prefix of the C functions.
    best_by : str
        Weights of the best epoch by loss or by accuracy, on the validation split.
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem export runs/chorales-lmn-b-seed0 --format onnx
    """
    from linmem.runs import export_run

    source = Path(run)
    folder = Path(out) if out else (source.parent if source.is_file() else source) / "export"
    for line in export_run.export(source, format, folder, name=name, best_by=best_by, force=force):
        print(line)
