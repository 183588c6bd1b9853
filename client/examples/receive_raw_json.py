"""The shortest receiver: waits for one sender, reads until it closes, and rebuilds the tensor from the JSON.

Fed by the C++ client or by tensorctl in their raw-JSON mode (tensorctl send x.npy --raw-json --connect 127.0.0.1:PORT).
"""

import base64, json, socket, sys
import numpy as np

listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7734))
print("listening on port", listener.getsockname()[1], flush=True)
s, _ = listener.accept()
text = b""
while part := s.recv(1 << 16):
    text += part
message = json.loads(text)
x = np.frombuffer(base64.b64decode(message["tensor"]), message["dtype"]).reshape(message["shape"])
print(x.dtype, x.shape)
print(x)
