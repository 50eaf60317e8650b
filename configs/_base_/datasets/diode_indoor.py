"""DIODE indoors, sizes as in hypersim.py; 325 validation images are the test set."""

_base_ = './hypersim.py'
max_depth = 10.0
dataset_type = 'DIODEIndoorDataset'
data_root = 'data/diode'
val_dataloader = dict(dataset=dict(split='val'))
test_dataloader = dict(dataset=dict(split='val'))
val_evaluator = dict(protocol='zoedepth_diode_indoor')
test_evaluator = dict(protocol='zoedepth_diode_indoor')
