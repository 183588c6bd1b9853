"""Sends tensors and images to tensord and gets its answers as numpy arrays.

    import numpy as np, tensorclient

    with tensorclient.Client(port=7733) as client:
        reply = client.call("stats", x=np.eye(3, dtype=np.float32))
        print(reply.result)

Needs numpy alone; torch tensors, Pillow images and whatever offers __array__ or __dlpack__ are taken as they are.
"""

from . import errors
from .client import Client, Pending, Pipeline
from .decode import Reply
from .dtypes import RawArray, from_float, raw
from .errors import ConnectionLost, DeadlineExceeded, ProtocolError, ServerError, TensorClientError
from .images import ImageFile
from .raw import receive

__version__ = "0.1.0"
__all__ = (
    "Client ConnectionLost DeadlineExceeded ImageFile Pending Pipeline ProtocolError RawArray Reply ServerError "
    "TensorClientError errors from_float raw receive"
).split()
globals().update({cls.__name__: cls for cls in errors.ERROR_CLASSES.values()})
__all__ += [cls.__name__ for cls in errors.ERROR_CLASSES.values()]
