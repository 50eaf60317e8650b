"""Checkpoints for deployment: weights alone, with LoRA merged, under the network's plain names."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from depth.models.layers.lora import has_lora, merge_lora
from depth.registry import MODELS

from .checkpoint import load_checkpoint_file, load_model_state, save_atomically
from .config import skip_pretrained
from .errors import ConfigError
from .stored_config import config_from_data

# Entries of a checkpoint that only a resume needs.
_OF_TRAINING = ('optimizer', 'param_schedulers', 'accumulated_grads', 'random_states')


def deployment_checkpoint(model: nn.Module, checkpoint: dict) -> dict:
    """Return a checkpoint whose low-rank updates are merged into the weights.

    Its config has no ``lora``, so that the model built from it is the plain network.

    Args:
        model: Estimator that the checkpoint belongs to; it is not changed.
        checkpoint: Content of a checkpoint; returned as it is if the model has no LoRA.
    """
    if not has_lora(model):
        return checkpoint
    checkpoint = dict(checkpoint, state_dict=merge_lora(model, checkpoint['state_dict']))
    checkpoint.pop('ema_state_dict', None)  # of the hook that would go on averaging
    meta = dict(checkpoint.get('meta') or {})
    if isinstance(meta.get('cfg'), dict):
        meta['cfg'] = dict(meta['cfg'], model=_without_lora(meta['cfg']['model']))
    return dict(checkpoint, meta=meta)


def _without_lora(node: Any) -> Any:
    """Return a copy of a model's config without the ``lora`` of its backbones."""
    if not isinstance(node, dict):
        return node
    return {key: _without_lora(value) for key, value in node.items() if key != 'lora'}


def write_deployment_checkpoint(
    source: str | Path, target: str | Path, trusted_modules: tuple[str, ...] = ()
) -> int:
    """Write the deployment form of a training checkpoint: without optimizer, LoRA merged.

    Args:
        source: Checkpoint of this toolbox, which carries its config.
        target: File of the result.
        trusted_modules: Modules outside the toolbox that the config may import and name.

    Returns:
        Number of weights and buffers in the file.

    Raises:
        FileNotFoundError: If ``source`` is missing.
        ValueError: If it is damaged, carries no config or does not fit it.
    """
    checkpoint = load_checkpoint_file(source)
    content = (checkpoint.get('meta') or {}).get('cfg')
    if content is None:
        raise ConfigError(f'{source} carries no config (it was not written by this toolbox)')
    model = build_from_stored(config_from_data(content, source, trusted_modules))
    load_model_state(model, checkpoint['state_dict'], source)
    for key in (*_OF_TRAINING, 'message_hub', 'ema_state_dict'):
        checkpoint.pop(key, None)
    result = deployment_checkpoint(model, checkpoint)
    save_atomically(result, target)
    return len(result['state_dict'])


def build_from_stored(cfg: Config) -> nn.Module:
    """Build the model of a config, without fetching pretrained weights."""
    skip_pretrained(cfg)
    return MODELS.build(cfg.model)
