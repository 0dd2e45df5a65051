# Verifies the compact JWS in authorization.jws with a key of jwks.json alone, and writes each x5c chain as PEM for openssl.
# Prints header and payload as one JSON text, members in their order.
import base64, hashlib, json
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from jwcrypto import jwk, jws
from jwcrypto.common import base64url_encode
keys = {}
for entry in json.load(open("jwks.json"))["keys"]:
    assert sorted(entry) == ["alg", "crv", "kid", "kty", "use", "x", "x5c", "x5t#S256", "y"], sorted(entry)
    chain = [x509.load_der_x509_certificate(base64.b64decode(der)) for der in entry["x5c"]]
    open(entry["kid"] + ".pem", "wb").write(b"".join(c.public_bytes(Encoding.PEM) for c in chain))
    key = jwk.JWK.from_pem(chain[0].public_bytes(Encoding.PEM))
    assert key.thumbprint() == jwk.JWK(**entry).thumbprint() == entry["kid"], "the JWK is another key than x5c[0]'s"
    assert (entry["alg"], entry["use"]) == ("ES256", "sig")
    assert entry["x5t#S256"] == base64url_encode(hashlib.sha256(chain[0].public_bytes(Encoding.DER)).digest())
    keys[entry["kid"]] = jwk.JWK(**entry)
token = jws.JWS()
token.allowed_algs = ["ES256"]
token.deserialize(open("authorization.jws").read())
token.verify(keys[token.jose_header["kid"]])
print(json.dumps({"header": token.jose_header, "claims": json.loads(token.payload)}))
