"""What the network did: accuracy against time, operations and energy, recorded outputs, reports."""

from .accuracy import correct as correct
from .accuracy import early_exit as early_exit
from .analysis import Analysis as Analysis
from .analysis import LayerAnalysis as LayerAnalysis
from .batches import Batches as Batches
from .batches import batches as batches
from .batches import reread as reread
from .curves import FitCurve as FitCurve
from .curves import fit_curve_figure as fit_curve_figure
from .energy import CONVENTIONS as CONVENTIONS
from .energy import Convention as Convention
from .energy import Work as Work
from .energy import energies as energies
from .energy import fan_out as fan_out
from .figures import plot as plot
from .figures import report_figures as report_figures
from .record import record as record
from .result import LayerResult as LayerResult
from .result import MethodResult as MethodResult
from .result import Report as Report
from .spread import Spread as Spread
from .spread import spread as spread
from .store import load_report as load_report
from .store import save_report as save_report
from .watch import plot_neuron as plot_neuron
from .watch import watch as watch
