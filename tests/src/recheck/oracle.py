# Reads lines of JSON: {"name", "pem", "jws"}. Prints the names whose JWS does not verify with the certificate's key.
import json, sys
from jwcrypto import jwk, jws
keys = {}
for line in sys.stdin:
    item = json.loads(line)
    pem = item["pem"]
    if pem not in keys:
        keys[pem] = jwk.JWK.from_pem(pem.encode())
    token = jws.JWS()
    token.allowed_algs = ["ES256"]
    try:
        token.deserialize(item["jws"], keys[pem])
    except Exception as error:
        print(item["name"], type(error).__name__)
