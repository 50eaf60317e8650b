"""The config files of docs/finetune.md, written, checked and built."""

import re

import pytest
import torch
from mmengine.registry import init_default_scope

from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.converters.convert import build_without_weights
from depth.models.layers.lora import has_lora
from depth.registry import HOOKS
from tests.shared import REPO

PAGE = (REPO / 'docs/finetune.md').read_text(encoding='utf-8')
FILES = dict(re.findall(r'```python\n# file: (\S+)\n(.*?)```', PAGE, flags=re.DOTALL))


@pytest.mark.parametrize('name', FILES)
def test_the_configs_of_the_page_are_checked_and_built(name, tmp_path):
    init_default_scope('depth')
    base = re.search(r"_base_ = '\./(\S+)'", FILES[name])[1]
    path = tmp_path / 'config.py'
    path.write_text(FILES[name].replace(f'./{base}', str((REPO / name).parent / base)))
    cfg = load_config(path)
    check_config(cfg)
    with torch.device('meta'):
        model = build_without_weights(cfg)
    assert has_lora(model) == ('lora' in name)
    assert ('relative' in model.extra_losses) == ('relative' in name)
    types = [hook['type'] for hook in cfg.custom_hooks]
    assert ('DistillationHook' in types) == ('distilled' in name)
    assert all(HOOKS.get(hook) is not None for hook in types)


def test_the_options_of_the_command_line_reach_the_backbone():
    options = {'model.backbone.lora.rank': 2, 'model.backbone.lora.targets': ['attn.qkv']}
    cfg = load_config(REPO / 'configs/synthetic/dpt_tiny_rooms.py', options)
    check_config(cfg)
    model = build_without_weights(cfg)
    adapted = [name for name, _ in model.named_parameters() if name.endswith('lora_up')]
    assert adapted == [f'backbone.net.model.blocks.{i}.attn.qkv.lora_up' for i in range(4)]
    assert len(FILES) == 5
