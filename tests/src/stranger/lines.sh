# IAT is when alfa signed. An authorization may be accepted for a minute only (exp), so whoever asks later whether it was
# genuine asks as of then: certificates, CRLs and the authorization's own time are judged at IAT, not now.
IAT=$(cut -d. -f2 authorization.jws | /usr/bin/python3 -c 'import base64, json, sys
print(json.loads(base64.urlsafe_b64decode(sys.stdin.read() + "=="))["iat"])')

# The two roots are what you must trust beforehand: compare these fingerprints with those that the scheme publishes.
openssl x509 -in device-root.pem -noout -fingerprint -sha256
openssl x509 -in signing-root.pem -noout -fingerprint -sha256
#> sha256 Fingerprint=...
#> sha256 Fingerprint=...

# Whoever asked for the phone's certificate held its private key: the request is signed with it (RFC 2986).
openssl req -in device.csr -inform DER -verify -noout
#> Certificate request self-signature verify OK

# And that key is the one in the certificate.
cmp <(openssl req -in device.csr -inform DER -noout -pubkey) <(openssl x509 -in device-chain.pem -noout -pubkey) &&
  echo the same key
#> the same key

# At IAT the phone's certificate led to the device root, and no CRL on the way listed it: the root's CRL speaks of
# mobilis' CA, that CA's CRL of the phone.
openssl verify -crl_check_all -attime $IAT -CAfile device-root.pem -untrusted device-chain.pem \
  -CRLfile device-root-crl.der -CRLfile crl-at-signing.der device-chain.pem
#> device-chain.pem: OK

# At the thisUpdate of the CRL after the theft the same certificate is refused: error 23 (revoked), and no other.
NEXT=$(date +%s -d "$(openssl crl -in crl-after-revocation.der -inform DER -noout -lastupdate | cut -d= -f2)")
openssl verify -crl_check_all -attime $NEXT -CAfile device-root.pem -untrusted device-chain.pem \
  -CRLfile device-root-crl.der -CRLfile crl-after-revocation.der device-chain.pem 2>&1 | grep error
#> error 23 at 0 depth lookup: certificate revoked
#> error device-chain.pem: verification failed

# At IAT alfa's authorization certificate led to the signing root, which is another root: a phone cannot pass for a bank.
openssl verify -crl_check_all -attime $IAT -CAfile signing-root.pem -untrusted signing-chain.pem \
  -CRLfile signing-root-crl.der -CRLfile signing-ca-crl.der signing-chain.pem
#> signing-chain.pem: OK

# The phone signed this order and no other, for this offer: the key is that of the certificate verified above, the
# algorithm is pinned to ES256, `typ` keeps one kind of object from passing for another (RFC 8725 s3.1, s3.11).
/usr/bin/python3 - <<'PYTHON'
import hashlib, json
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from jwcrypto import jwk, jws
from jwcrypto.common import base64url_encode
device = x509.load_pem_x509_certificate(open("device-chain.pem", "rb").read())
order = jws.JWS()
order.allowed_algs = ["ES256"]
order.deserialize(open("order.jws").read(), jwk.JWK.from_pem(device.public_bytes(Encoding.PEM)))
assert order.jose_header == {"alg": "ES256", "typ": "semops-order-v1+jwt", "kid": base64url_encode(
    hashlib.sha256(device.public_bytes(Encoding.DER)).digest())}
claims = json.loads(order.payload)
assert claims["offer_sha256"] == base64url_encode(hashlib.sha256(open("offer.bin", "rb").read()).digest())
print("order.jws: the phone orders", claims["amount"]["currency"], claims["amount"]["value"], "for offer.bin")
PYTHON
#> order.jws: the phone orders CNY 23.72 for offer.bin

# alfa guarantees the payment. A JWK Set is a convenience and proves nothing by itself: first each x5c chain must lead to
# the signing root, O must be the `iss`, and the JWK's key must be that of x5c[0]. Then the signature, with that key alone;
# then the time, at IAT; then that it answers this very order (SHA-256 of order.jws) and changed nothing in it.
IAT=$IAT /usr/bin/python3 - <<'PYTHON'
import base64, hashlib, json, os, subprocess, tempfile
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jwcrypto import jwk, jws
from jwcrypto.common import base64url_encode
iat, compact, keys = os.environ["IAT"], open("authorization.jws").read(), {}
for entry in json.load(open("jwks.json"))["keys"]:
    chain = [x509.load_der_x509_certificate(base64.b64decode(der)) for der in entry["x5c"]]
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain))
        pem.flush()
        subprocess.run(["openssl", "verify", "-crl_check_all", "-attime", iat, "-CAfile", "signing-root.pem",
            "-untrusted", pem.name, "-CRLfile", "signing-root-crl.der", "-CRLfile", "signing-ca-crl.der", pem.name],
            check=True, stdout=subprocess.DEVNULL)
    assert [name.value for name in chain[0].subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["alfa"]
    key = jwk.JWK.from_pem(chain[0].public_bytes(Encoding.PEM))
    assert key.thumbprint() == jwk.JWK(**entry).thumbprint() == entry["kid"] and entry["alg"] == "ES256"
    assert entry["x5t#S256"] == base64url_encode(hashlib.sha256(chain[0].public_bytes(Encoding.DER)).digest())
    keys[entry["kid"]] = key, entry["x5t#S256"]
print("jwks.json: each key is that of a certificate of alfa below signing-root.pem")
token = jws.JWS()
token.allowed_algs = ["ES256"]
token.deserialize(compact)
kid = token.jose_header["kid"]
token.verify(keys[kid][0])
assert token.jose_header == {"alg": "ES256", "typ": "semops-authorization-v1+jwt", "kid": kid, "x5t#S256": keys[kid][1]}
claims = json.loads(token.payload)
assert claims["iss"] == "alfa" and claims["aud"] == "beta" and claims["iat"] == int(iat) < claims["exp"]
order = open("order.jws").read()
assert claims["order_sha256"] == base64url_encode(hashlib.sha256(order.encode()).digest())
ordered = json.loads(base64.urlsafe_b64decode(order.split(".")[1] + "=="))
assert all(claims[member] == ordered[member] for member in ["kind", "channel", "amount", "payee", "offer_sha256"])
print("authorization.jws: alfa guarantees", claims["amount"]["currency"], claims["amount"]["value"],
    "to", claims["payee"]["name"], "at", claims["aud"])
PYTHON
#> jwks.json: each key is that of a certificate of alfa below signing-root.pem
#> authorization.jws: alfa guarantees CNY 23.72 to BEST TRANSPORT at beta

# Later two custodians of alfa had another key follow, while its customers went on paying. Its certificate leads to the same
# root, and what it signed says with its `kid` which of alfa's keys that was: not the one before.
IAT=$IAT /usr/bin/python3 - <<'PYTHON'
import json, os, subprocess
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jwcrypto import jwk, jws
token, before = jws.JWS(), json.load(open("jwks.json"))["keys"]
token.allowed_algs = ["ES256"]
token.deserialize(open("rotated-authorization.jws").read())
certificate = x509.load_pem_x509_certificate(open("rotated-signing-chain.pem", "rb").read())
assert [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["alfa"]
key = jwk.JWK.from_pem(certificate.public_bytes(Encoding.PEM))
token.verify(key)
claims = json.loads(token.payload)
assert token.jose_header["kid"] == key.thumbprint() and key.thumbprint() not in [old["kid"] for old in before]
assert token.jose_header["typ"] == "semops-authorization-v1+jwt"
assert claims["iss"] == "alfa" and claims["aud"] == "beta" and int(os.environ["IAT"]) < claims["iat"] < claims["exp"]
subprocess.run(["openssl", "verify", "-crl_check_all", "-attime", str(claims["iat"]), "-CAfile", "signing-root.pem",
    "-untrusted", "rotated-signing-chain.pem", "-CRLfile", "signing-root-crl.der", "-CRLfile", "signing-ca-crl.der",
    "rotated-signing-chain.pem"], check=True)
print("rotated-authorization.jws: signed by the key of rotated-signing-chain.pem")
PYTHON
#> rotated-signing-chain.pem: OK
#> rotated-authorization.jws: signed by the key of rotated-signing-chain.pem
