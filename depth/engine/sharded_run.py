"""Processes of a fully sharded training: division of its model, and writing of its checkpoints."""

from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.hooks import EMAHook as MMEngineEMAHook
from mmengine.runner import Runner
from torch import Tensor

from .errors import ConfigError
from .hooks.ema_hook import EMAHook
from .sharded_checkpoint import (
    SHARDS,
    copy_to_cpu,
    shards_folder,
    split_tensors,
    write_tensors,
)
from .sharding import ShardingOptions, make_mesh, shard_model


class ShardedRun:
    """Processes among which the model of a run is divided.

    Args:
        options: Of ``strategy`` in the config.

    Attributes:
        mesh: All processes; None until the model is sharded.
    """

    def __init__(self, options: ShardingOptions) -> None:
        self.options = options
        self.mesh: torch.distributed.DeviceMesh | None = None
        # Those who write the pieces: on the CPU, with collectives of their own.
        self._cpu_mesh: torch.distributed.DeviceMesh | None = None
        self._group: torch.distributed.ProcessGroup | None = None

    @property
    def writes_pieces(self) -> bool:
        """Whether each process writes its pieces of a checkpoint to a file of its own."""
        return self._group is not None

    def shard(self, runner: Runner) -> None:
        """Divide a runner's model, whose weights are initialised, and its moving average.

        Raises:
            ConfigError: If the average is not that of
                :class:`~depth.engine.hooks.ema_hook.EMAHook`.
        """
        self.mesh = make_mesh()
        # The average is a copy of the whole model, so it is made first.
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.shard(runner, self.options, self.mesh)
            elif isinstance(hook, MMEngineEMAHook):
                raise ConfigError(
                    f"custom_hooks: strategy 'fsdp2' needs the EMAHook of depth, got {type(hook)}"
                )
        blocks = shard_model(runner.model, self.options, self.mesh)
        size = self.mesh.size()
        runner.logger.info(
            f'fsdp2: parameters are divided over {size} processes; {len(blocks)} blocks '
            'are gathered one at a time, all else during the whole forward pass'
        )
        if self.options.checkpoint == 'sharded':
            self._cpu_mesh = torch.distributed.init_device_mesh('cpu', (size,))
            self._group = torch.distributed.new_group(backend='gloo')

    def take_pieces(
        self, checkpoint: dict, copy: Callable[[str, Tensor], Tensor]
    ) -> tuple[dict, dict[str, Tensor]]:
        """Return a checkpoint without its sharded tensors, and this process's pieces of them.

        Args:
            checkpoint: Nested dicts and lists.
            copy: Returns a copy of the tensor of a name in host memory.
        """
        checkpoint, tensors = split_tensors(checkpoint)
        return checkpoint, copy_to_cpu(tensors, self._cpu_mesh, copy)

    def write_pieces(
        self, checkpoint: dict, tensors: dict[str, Tensor], path: Path, verify: bool
    ) -> None:
        """Write the pieces of :meth:`take_pieces` beside a checkpoint, and list the files in it.

        Args:
            checkpoint: Content of the file itself.
            tensors: The pieces; all processes call this.
            path: File of the checkpoint.
            verify: Read each file again and compare it with what was written.

        Raises:
            OSError: If a file cannot be written.
        """
        checkpoint[SHARDS] = write_tensors(tensors, shards_folder(path), self._group, verify)
