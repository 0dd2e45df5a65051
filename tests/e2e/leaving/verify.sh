sha256sum --quiet -c SHA256SUMS
# Whatever is in the folder is in the list.
test "$(find . -type f ! -name SHA256SUMS | wc -l)" = "$(wc -l < SHA256SUMS)"
folder() { sed -n "s|^key,\([^,]*\),beta,$1,.*|keys/\1|p" register.csv; }
device_ca=$(folder device-ca)
signing_ca=$(folder signing-ca)
authorization=$(folder authorization)
# Times are those of the evidence.
verify() { openssl verify -x509_strict -no_check_time -crl_check_all "$@"; }
verify -CAfile roots/device-root.pem -CRLfile roots/device-root-crl.der "$device_ca/chain.pem"
verify -CAfile roots/signing-root.pem -CRLfile roots/signing-root-crl.der "$signing_ca/chain.pem"
verify -CAfile roots/signing-root.pem -CRLfile roots/signing-root-crl.der -CRLfile "$signing_ca/crl.der" \
  -untrusted "$authorization/chain.pem" "$authorization/chain.pem"
openssl crl -inform DER -in "$device_ca/crl.der" -CAfile "$device_ca/chain.pem" -noout 2>&1 | grep -x 'verify OK'
revoked=$(openssl crl -inform DER -in "$device_ca/crl.der" -noout -text | grep -c 'Cessation Of Operation')
test "$revoked" = "$(grep -c '^DEVICE_CERTIFICATE,' "$device_ca/signed.csv")"
grep -q ",$DIGEST," "$authorization/signed.csv"
"$PYTHON" - "$authorization/chain.pem" "$JWS" << 'END'
import json, sys
from jwcrypto import jwk, jws
key = jwk.JWK.from_pem(open(sys.argv[1], "rb").read())
token = jws.JWS()
token.allowed_algs = ["ES256"]
token.deserialize(open(sys.argv[2]).read())
token.verify(key)
assert token.jose_header["kid"] == key.thumbprint()
print(json.loads(token.payload)["iss"], "signed it, and it is listed")
END
