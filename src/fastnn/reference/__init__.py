"""The NumPy twin of the compiled back end: same names, same arguments, same exceptions; clear, never optimised.

It is the fallback where nothing is compiled and the oracle of the tests (in float64). One file a family, as in core/.
Shapes: N is the batch, C the channels or classes. Every function returns new arrays except where its summary says "in
place". `grad_output` is the gradient of the loss with respect to the operation's output. Everything is computed in the
arrays' common dtype.
"""

from .channels import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .embedding import *  # noqa: F403
from .linear import *  # noqa: F403
from .losses import *  # noqa: F403
from .norms import *  # noqa: F403
from .updates import *  # noqa: F403
from .windows import *  # noqa: F403
