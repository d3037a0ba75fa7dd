"""The names of fastapi-accelerator, answered by accel.

Code written for fastapi-accelerator runs on accel unchanged: each module here re-exports
the names of the packages that do the work.
"""

import warnings
from importlib.metadata import PackageNotFoundError, distribution

try:
    distribution("fastapi-accelerator")
except PackageNotFoundError:
    pass
else:
    warnings.warn(
        "fastapi-accelerator is installed beside accel-pattern, and both own the module "
        "`fastapi_accelerator`. Run: pip uninstall fastapi-accelerator; "
        "pip install --force-reinstall --no-deps accel-pattern",
        stacklevel=2,
    )
