"""What the papers compare with and `torch.nn` does not have, called like every other model."""

from linmem.baselines.persistence import Persistence

__all__ = ["Persistence"]
