"""Conversion methods: each one a named choice of pieces.

| method | activation | thresholds | neuron | coding | schedule | source |
|---|---|---|---|---|---|---|
| :class:`Max` | ReLU | largest activation | IF, v(0) = 0 | rate | plain | Diehl et al., IJCNN 2015 |
| :class:`Robust` | ReLU | quantile | IF, v(0) = 0 | rate | plain | Rueckauer et al., Front. Neurosci. 2017 |
| :class:`ThresholdBalancing` | ReLU | largest current of a site | IF, v(0) = 0 | rate | plain | Sengupta et al. 2019 |
| :class:`RMP` | ReLU | a share of that | IF, v(0) = 0 | rate | plain | Han et al., CVPR 2020 |
| :class:`Calibration` | ReLU | least squared error; corrections | IF + θ/2T | rate | plain | Li et al., ICML 2021 |
| :class:`LTB` | ReLU | local rule | IF, θ/2 | rate | plain, delayed | Bu et al., CVPR 2025 |
| :class:`Gaussian` | ReLU | fitted to mean and variance | K equal levels | rate | plain | H-MT, AAAI 2026 |
| :class:`TCL` | learned clip | the learned bound | IF, v(0) = 0 | rate | plain | Ho & Chang, DAC 2021 |
| :class:`RTS` | any | those of its base | IF + θ/2T | rate | plain | Deng & Gu, ICLR 2021 |
| :class:`OPI` | any | those of its base | IF, θ/2 | rate | plain | Bu et al., AAAI 2022 |
| :class:`RNL` | rate norm layer | p·max, learned | IF, v(0) = 0, rate | rate | plain | Ding et al., IJCAI 2021 |
| :class:`SlipReLU` | slipped staircase | the learned bound | IF, θ/2 | rate | plain | Jiang et al., ICML 2023 |
| :class:`QCFS` | learned quantised clip | the learned bound | IF, θ/2 | rate | plain | Bu et al., ICLR 2022 |
| :class:`SRP` | any | those of its base | IF, θ/2 | rate | two stages, silence | Hao et al., AAAI 2023 |
| :class:`COS` | any | those of its base | IF, θ/2 | rate | two stages, shift | Hao et al., ICLR 2023 |
| :class:`Parallel` | any | those of its base | IF that waits, θ/2 | rate | parallel | Hao et al., ICML 2025 |
| :class:`Group` | any | those of its base | K equal levels | rate | plain | LM-HT, NeurIPS 2024 |
| :class:`ECMT` | any network | quantiles | ±n powers of two | rate, compensated | plain | Huang et al., ACM MM 2024 |
| :class:`DCGS` | any network | quantiles | ±n powers of two | differential | plain | Huang et al., ICML 2025 |
| :class:`STA` | any network | quantiles | ±n powers of two | difference | plain | Jiang et al., ICLR 2024 |
| :class:`SpikeZIP` | any network | quantiles | ternary, counting | difference | plain | You et al., ICML 2024 |

Those with a base compose: ``COS(Group(RNL(), levels=2))``. All keep these invariants: charge is conserved in every
neuron; the answer does not depend on how samples are batched; nothing is left over from one call to the next; weights
are those of the source network (but for the weight correction of :class:`Calibration`).
"""

from __future__ import annotations

from .base import Method as Method
from .base import Upon as Upon
from .calibrated import LTB as LTB
from .calibrated import RMP as RMP
from .calibrated import Calibration as Calibration
from .calibrated import Gaussian as Gaussian
from .calibrated import Max as Max
from .calibrated import Robust as Robust
from .calibrated import ThresholdBalancing as ThresholdBalancing
from .staged import COS as COS
from .staged import SRP as SRP
from .staged import Group as Group
from .staged import Parallel as Parallel
from .trained import OPI as OPI
from .trained import QCFS as QCFS
from .trained import RNL as RNL
from .trained import RTS as RTS
from .trained import TCL as TCL
from .trained import SlipReLU as SlipReLU
from .transformer import DCGS as DCGS
from .transformer import ECMT as ECMT
from .transformer import STA as STA
from .transformer import SpikeZIP as SpikeZIP

METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (
        Max, Robust, ThresholdBalancing, RMP, Calibration, LTB, Gaussian, TCL, RTS, OPI, RNL, SlipReLU, QCFS, SRP, COS,
        Parallel, Group, ECMT, DCGS, STA, SpikeZIP,
    )
}  # fmt: skip
"""Every method by name."""
