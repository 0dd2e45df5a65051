# Verifies the approvals in approvals.json with the keys of the register alone, and says who decided what about the proposal.
import hashlib, json, sys, tomllib
from jwcrypto import jwk, jws
from jwcrypto.common import base64url_encode
keys = {}
for custodian in tomllib.load(open("custodians.toml", "rb"))["custodian"]:
    for pem in custodian["approval_keys"]:
        key = jwk.JWK.from_pem(pem.encode())
        keys[key.thumbprint()] = (custodian["person"], key)
name = base64url_encode(hashlib.sha256(open("proposal.json", "rb").read()).digest())
for compact in json.load(open("approvals.json")):
    token = jws.JWS()
    token.allowed_algs = ["ES256"]
    token.deserialize(compact)
    person, key = keys[token.jose_header["kid"]]
    token.verify(key)
    said = json.loads(token.payload)
    assert token.jose_header["typ"] == "semops-approval-v1+jwt" and said["proposal_sha256"] == name and said["iss"] == person
    print(person, said["decision"])
