"""XGBoost, as `train` and `serve` import it.

Where scikit-learn is installed XGBoost imports it too, for an interface that neither of them uses: two thirds of the time that a
process takes to start.
"""

import sys

sys.modules.setdefault("sklearn", None)

import xgboost  # noqa: E402, F401
