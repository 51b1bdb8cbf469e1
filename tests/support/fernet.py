"""Opens and seals as a service in Python does, with cryptography: one JSON object on standard input, one on standard output."""

import json
import sys

from cryptography.fernet import Fernet

asked = json.load(sys.stdin)
fernet = Fernet(asked["key"])
json.dump(
    {
        "opened": [fernet.decrypt(token.encode()).decode() for token in asked["open"]],
        "sealed": fernet.encrypt(asked["seal"].encode()).decode(),
    },
    sys.stdout,
)
