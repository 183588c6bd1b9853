"""What can go wrong in a call: typed exceptions that carry the server's code, its sentence and the place it blames."""


class TensorClientError(Exception):
    """The base of every exception that this package raises about a connection or a reply."""


class ConnectionLost(TensorClientError, ConnectionError):
    """The connection could not be made, or ended. `unacknowledged` holds the ids of the requests that were sent without
    a reply: the server may or may not have handled them, and nothing is ever sent a second time by itself."""

    def __init__(self, message, unacknowledged=()):
        super().__init__(message)
        self.unacknowledged = list(unacknowledged)


class DeadlineExceeded(TensorClientError, TimeoutError):
    """The call took longer than its timeout. The connection is closed; the server may still handle the request."""

    def __init__(self, message, unacknowledged=()):
        super().__init__(message)
        self.unacknowledged = list(unacknowledged)


class ProtocolError(TensorClientError):
    """The peer sent something that is no reply of this protocol; the connection is closed."""


class ServerError(TensorClientError):
    """An error reply. `code` is for programs, `message` for people, `at` a JSON Pointer into the request (or None)."""

    code = None

    def __init__(self, message, at=None, code=None, id=None):
        super().__init__(message)
        self.message = message
        self.at = at
        self.code = code or type(self).code
        self.id = id

    def __str__(self):
        return f"{self.code}: {self.message}" + (f" (at {self.at})" if self.at else "")


CODES = (
    "bad_frame frame_too_large bad_json bad_message bad_base64 bad_dtype bad_shape size_mismatch value_out_of_range "
    "bad_image image_too_large unknown_handler handler_failed timeout overloaded shutting_down unauthorized internal"
).split()


def _class_of(code):
    name = {"timeout": "HandlerTimeout", "internal": "InternalError"}.get(code, code.title().replace("_", ""))
    return type(
        name,
        (ServerError,),
        {"code": code, "__doc__": f"The server answered with the code `{code}`.", "__module__": __name__},
    )


# The exception class of each code: BadFrame, ..., HandlerTimeout for `timeout`, InternalError for `internal`.
ERROR_CLASSES = {code: _class_of(code) for code in CODES}
globals().update({cls.__name__: cls for cls in ERROR_CLASSES.values()})


def server_error(error, id=None):
    """The exception for the `error` member of a reply; a code of a later version gives a plain ServerError."""
    code = str(error.get("code", "internal"))
    return ERROR_CLASSES.get(code, ServerError)(str(error.get("message", "")), error.get("at"), code, id)
