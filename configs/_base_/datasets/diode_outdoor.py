"""DIODE outdoors: as diode_indoor.py, but up to 80 m; 446 validation images are the test set."""

_base_ = './diode_indoor.py'
max_depth = 80.0
dataset_type = 'DIODEOutdoorDataset'
val_evaluator = dict(protocol='zoedepth_diode_outdoor')
test_evaluator = dict(protocol='zoedepth_diode_outdoor')
