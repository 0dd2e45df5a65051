# Approves a proposal, as a custodian without our code would: reads its bytes and the approval key, and prints a compact JWS.
import hashlib, json, sys, time
from jwcrypto import jwk, jws
from jwcrypto.common import base64url_encode
key_file, proposal_file, person = sys.argv[1:]
key = jwk.JWK.from_pem(open(key_file, "rb").read())
proposal = open(proposal_file, "rb").read()
said = json.loads(proposal)
payload = {"iat": int(time.time()), "iss": person, "aud": said["institution"],
           "proposal_sha256": base64url_encode(hashlib.sha256(proposal).digest()), "decision": "approve"}
token = jws.JWS(json.dumps(payload))
token.add_signature(key, protected=json.dumps({"alg": "ES256", "kid": key.thumbprint(), "typ": "semops-approval-v1+jwt"}))
print(token.serialize(compact=True), end="")
