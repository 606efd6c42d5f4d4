"""Short public paths of modules: `linmem.initialize` is `linmem.nn.initialize`, the same module object.

They work as attributes of `linmem` and in import statements, and import nothing before they are used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PUBLIC_PATHS = {
    "linmem.baselines": "linmem.nn.baselines",
    "linmem.capacity": "linmem.analysis.memory_capacity",
    "linmem.closed_form": "linmem.autoencoder",
    "linmem.closed_form.distributed": "linmem.autoencoder.history.distributed",
    "linmem.equivalence": "linmem.nn.equivalence",
    "linmem.gradients": "linmem.analysis.gradient_norms",
    "linmem.growing": "linmem.training.incremental",
    "linmem.initialize": "linmem.nn.initialize",
    "linmem.midi": "linmem.data.midi",
    "linmem.multiscale": "linmem.nn.multiscale",
    "linmem.readouts": "linmem.estimators.readouts",
}


class PublicPaths(MetaPathFinder, Loader):
    """Finds the modules of `PUBLIC_PATHS` under their short names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for a short name, None for all others."""
        return ModuleSpec(fullname, self) if fullname in PUBLIC_PATHS else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module itself; its own spec is put back by `exec_module`."""
        module = import_module(PUBLIC_PATHS[spec.name])
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore what the import system has overwritten; the module was executed when it was first imported."""
        module.__spec__ = self._own_spec


def install() -> None:
    """Register the finder once, before the finder of files."""
    if not any(isinstance(finder, PublicPaths) for finder in sys.meta_path):
        sys.meta_path.insert(0, PublicPaths())
