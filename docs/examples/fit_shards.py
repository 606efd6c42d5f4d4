"""Worker of plot_data_parallel.py: fit one autoencoder to the chorales of all workers.

torchrun --nproc-per-node 2 fit_shards.py FILE
"""

import sys

import torch.distributed as dist
from linmem.closed_form.distributed import Shard

import linmem

dist.init_process_group("gloo")
rank, workers = dist.get_rank(), dist.get_world_size()
mine = linmem.data.load("chorales").train[rank::workers]
autoencoder = linmem.LinearAutoencoder(memory_size=50, lag_decay=0.9).fit(Shard(mine))
print(f"worker {rank}: {len(mine)} chorales", flush=True)
if rank == 0:
    autoencoder.save(sys.argv[1])
dist.destroy_process_group()
