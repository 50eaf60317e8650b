"""AdaBins, EfficientNet-B5 AP, NYU Depth v2: the recipe that the published config intended.

Ours: not trained yet. The head learns at ten times the backbone's rate. In the published code the
one-cycle policy overwrote that, and all learned at 3.57e-4; here this is the head's rate, and the
pre-trained backbone has a tenth of it.
"""

_base_ = ['./adabins_efnetb5ap_nyu_24e.py']
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
