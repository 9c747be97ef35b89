"""Tests; they compare with `dv`, which imports `imp`, gone since Python 3.12, for one function."""

import importlib
import importlib.util
import sys
from types import ModuleType

if not importlib.util.find_spec("imp"):
    imp = ModuleType("imp")
    imp.find_module = importlib.import_module  # all that dv asks: an ImportError where there is no numpy
    sys.modules["imp"] = imp
    importlib.import_module("dv")
    del sys.modules["imp"]
