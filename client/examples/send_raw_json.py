"""The shortest sender: one JSON object without any length in front, then close. tensord's default handler gets it."""

import base64, json, socket, sys
import numpy as np

x = np.arange(9, dtype=np.float32).reshape(3, 3)
b64 = base64.b64encode(x.tobytes()).decode()

s = socket.create_connection(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7733))
s.sendall(json.dumps({"tensor": b64, "shape": [3, 3], "dtype": "torch.float32"}).encode())
s.close()
