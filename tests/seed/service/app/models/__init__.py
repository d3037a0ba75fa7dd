from .files import *
from .timemeasurement import *
from .users import *
