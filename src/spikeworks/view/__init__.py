"""Looking at what was measured: pages, figures, tables."""

from .report import page as page
from .report import write_page as write_page
