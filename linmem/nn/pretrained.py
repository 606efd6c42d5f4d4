"""`save_pretrained` and `from_pretrained` as in Hugging Face's `PyTorchModelHubMixin`, without its package.

The folder holds `config.json`, the arguments of the model, and `model.safetensors`, its weights: the files of that
mixin. No pickle. A name that is no folder is downloaded, where the package huggingface_hub is installed.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from linmem.storage.atomic import write_bytes, write_json
from linmem.storage.documents import Schema, read_json_object
from linmem.storage.messages import reason_of
from linmem.storage.parsing import parsing

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Pretrained:
    """Gives a module `save_pretrained` and `from_pretrained`; it defines `configuration` and `from_configuration`."""

    configuration_schema: ClassVar[Schema] = {}  # keys that the configuration must have, with their types

    def configuration(self) -> dict[str, Any]:
        """JSON content that `from_configuration` builds the model from."""
        raise NotImplementedError

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Any:
        """Build the model, its weights still at their initial values."""
        return cls(**configuration)

    def save_pretrained(self, save_directory: str | PathLike[str]) -> None:
        """Write config.json and model.safetensors to a folder, which is created.

        Parameters
        ----------
        save_directory : str or path
            The folder; files of these names in it are replaced.
        """
        assert isinstance(self, nn.Module)
        folder, configuration = Path(save_directory), self.configuration()
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in self.state_dict().items()}
        write_bytes(folder / WEIGHTS, save_tensors(tensors, metadata={"format": "pt"}))
        write_json(folder / CONFIG, configuration)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str],
        *,
        map_location: str | torch.device = "cpu",
        revision: str | None = None,
        cache_dir: str | PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> Any:
        """Build the model that `save_pretrained` wrote, in evaluation mode and with the dtype of its weights.

        Parameters
        ----------
        pretrained_model_name_or_path : str or path
            The folder, or the name of a repository on the Hugging Face Hub.
        map_location : str or torch.device
            Device of the weights.
        revision, cache_dir, force_download, local_files_only, token
            Of a download, as in `huggingface_hub.snapshot_download`; a folder needs none.

        Raises
        ------
        ValueError
            A file is missing or damaged, config.json lacks a key, or the weights do not fit the configuration.
        ImportError
            The name is no folder, and huggingface_hub is not installed.
        """
        folder = _folder(
            pretrained_model_name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise ValueError(f"{folder} must hold {CONFIG} and {WEIGHTS}, got no {name}. Save the model again.")
        remedy = "Save the model again."
        configuration = read_json_object(folder / CONFIG, remedy, cls.configuration_schema)
        with parsing(folder / WEIGHTS, "a whole safetensors file", remedy):
            tensors = load_tensors((folder / WEIGHTS).read_bytes())
        with parsing(folder / CONFIG, f"the configuration of a {cls.__name__}", remedy):
            model = cls.from_configuration(configuration).to(_dtype(tensors))
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            reason = reason_of(error)
            raise ValueError(f"{folder} must hold a {cls.__name__}, got another model: {reason}. {remedy}") from None
        return model.to(map_location).eval()


def _dtype(tensors: dict[str, Tensor]) -> torch.dtype | None:
    """The floating dtype of all weights; None if there is none, or several."""
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    return dtypes.pop() if len(dtypes) == 1 else None


def _folder(name: str | PathLike[str], **download: Any) -> Path:
    path = Path(name)
    if path.is_dir():
        return path
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ImportError(
            f"pretrained_model_name_or_path must be a folder, got {str(name)!r}. "
            "To download models, install huggingface_hub."
        ) from None
    return Path(snapshot_download(str(name), allow_patterns=[CONFIG, WEIGHTS], **download))
