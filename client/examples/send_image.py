"""Sends a PNG or JPEG file to tensord with a bare socket and prints the answer: python3 send_image.py FILE [PORT]"""

import base64, json, socket, struct, sys

with open(sys.argv[1], "rb") as file:
    body = json.dumps({"handler": "stats", "image": base64.b64encode(file.read()).decode()}).encode()

with socket.create_connection(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 7733)) as s:
    s.sendall(struct.pack(">I", len(body)) + body)  # length first (4 bytes, big-endian), then the JSON
    reader = s.makefile("rb")
    reply = json.loads(reader.read(struct.unpack(">I", reader.read(4))[0]))
print(json.dumps(reply, indent=2))
