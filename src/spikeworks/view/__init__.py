"""Looking at what was measured: pages, figures, tables."""

from .flow import colour_wheel as colour_wheel
from .flow import flow_colours as flow_colours
from .report import page as page
from .report import write_page as write_page
