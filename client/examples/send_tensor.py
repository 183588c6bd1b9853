"""Sends a numpy array to tensord with a bare socket and prints the answer: no package needed but numpy."""

import base64, json, socket, struct, sys
import numpy as np

x = np.arange(9, dtype=np.float32).reshape(3, 3)
request = {"handler": "stats", "tensor": base64.b64encode(x).decode(), "shape": x.shape, "dtype": str(x.dtype)}
body = json.dumps(request).encode()

with socket.create_connection(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7733)) as s:
    s.sendall(struct.pack(">I", len(body)) + body)  # length first (4 bytes, big-endian), then the JSON
    reader = s.makefile("rb")
    reply = json.loads(reader.read(struct.unpack(">I", reader.read(4))[0]))
print(json.dumps(reply, indent=2))
