"""Verifies access tokens as another service would, with PyJWT: one JSON object on standard input, one on standard output."""

import json
import sys

import jwt
from jwt.algorithms import OKPAlgorithm

asked = json.load(sys.stdin)
if asked["alg"] == "Ed25519":
    # RFC 9864's name for what this version of PyJWT calls EdDSA: its client leaves such keys out of a set.
    jwt.register_algorithm("Ed25519", OKPAlgorithm())
    kid = jwt.get_unverified_header(asked["token"])["kid"]
    jwks = jwt.PyJWKClient(asked["jwks_uri"]).fetch_data()
    key = OKPAlgorithm.from_jwk(next(each for each in jwks["keys"] if each["kid"] == kid))
else:
    key = jwt.PyJWKClient(asked["jwks_uri"]).get_signing_key_from_jwt(asked["token"]).key

answers = []
for token in [asked["token"], *asked["forged"]]:
    try:
        answers.append(
            jwt.decode(token, key, algorithms=[asked["alg"]], issuer=asked["issuer"], audience=asked["issuer"],
                       options={"require": ["exp", "iat", "sub", "aud", "iss"]})
        )
    except jwt.InvalidTokenError as refused:
        answers.append(type(refused).__name__)
json.dump(answers, sys.stdout)
