//! An ID token: whose it is, for whom, for how long, and that the provider signed it (OpenID Connect Core 1.0, 3.1.3.7).
//!
//! Each key has one algorithm, from the key and never from the token: so a token without a signature, or one that takes a
//! public key for the secret of an HMAC, is refused before anything of it is read.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

use super::{Claims, Failure, MAX_NAME};

/// How far the provider's clock may be from ours, in seconds.
const LEEWAY_S: i64 = 60;

/// A key of the provider.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name, where it has one.
    pub id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Key {
    /// A key of a JWKS document (RFC 7517); `None` for one that signs no ID tokens, or not as we know it.
    pub fn read(text: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(text.clone()).ok()?;
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_this = common.key_algorithm.is_none_or(|named| named == algorithm.into())
            && common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_for_this)?;
        Some(Self { id: common.key_id.clone(), algorithm, key })
    }
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who signed it.
    pub issuer: &'a str,
    /// For whom.
    pub client_id: &'a str,
    /// In answer to what.
    pub nonce: &'a str,
    /// Now, in seconds since 1970.
    pub now_s: i64,
}

fn invalid(why: impl Into<String>) -> Failure {
    Failure::Invalid(why.into())
}

/// The name of the key that signed a token; nothing of it has been verified.
pub fn key_id(token: &str) -> Result<Option<String>, Failure> {
    Ok(header(token)?.kid)
}

fn header(token: &str) -> Result<jsonwebtoken::Header, Failure> {
    // `none` is no algorithm to the library, so that such a header does not read.
    let header = decode_header(token).map_err(|e| invalid(format!("the ID token's header: {e}")))?;
    // What it calls critical we do not know, and an access token is not about who somebody is.
    if header.crit.is_some() || header.typ.as_ref().is_some_and(|kind| !kind.eq_ignore_ascii_case("jwt")) {
        return Err(invalid("the ID token is of another kind"));
    }
    Ok(header)
}

/// Verifies a token with the provider's key and gives what it says.
pub fn verify(token: &str, key: &Key, expected: &Expected<'_>) -> Result<Claims, Failure> {
    header(token)?;
    let mut validation = Validation::new(key.algorithm);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    // The library would read the clock itself.
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    let decoded = decode::<Claims>(token, &key.key, &validation);
    let claims = decoded.map_err(|e| invalid(format!("the ID token: {e}")))?.claims;
    // The library also takes lists of issuers.
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(invalid("the ID token has another issuer"));
    }
    let is_shared = claims.get("aud").and_then(Value::as_array).is_some_and(|audiences| audiences.len() > 1);
    let is_ours = match claims.get("azp") {
        Some(party) => party.as_str() == Some(expected.client_id),
        None => !is_shared,
    };
    if !is_ours {
        return Err(invalid("the ID token was made for another party"));
    }
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64);
    if time("exp").is_none_or(|ends| expected.now_s >= ends.saturating_add(LEEWAY_S)) {
        return Err(invalid("the ID token has expired"));
    }
    if time("iat").is_none_or(|made| made > expected.now_s + LEEWAY_S) {
        return Err(invalid("the ID token is of the future, or of no time"));
    }
    let begins = claims.get("nbf").map(|_| time("nbf"));
    if begins.is_some_and(|begins| begins.is_none_or(|begins| begins > expected.now_s + LEEWAY_S)) {
        return Err(invalid("the ID token is not valid yet"));
    }
    if claims.get("nonce").and_then(Value::as_str) != Some(expected.nonce) {
        return Err(invalid("the ID token answers another request"));
    }
    Ok(claims)
}

/// Who a token is about.
pub fn subject(claims: &Claims) -> Result<&str, Failure> {
    let subject = claims.get("sub").and_then(Value::as_str);
    subject.filter(|s| (1..=MAX_NAME).contains(&s.len())).ok_or_else(|| invalid("the ID token has no subject"))
}

/// Has the library verify with ring, as the rest of the server does: its own back ends bring crates that are here already in
/// other versions. Again is fine.
pub fn use_ring() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        verifier_factory,
        key_utils: KeyUtils::new_unimplemented(),
    };
    // It fails where it has been done.
    let _ = RING.install_default();
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Ok(Box::new(Rs256(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })))
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) if key.family() == algorithm.family() => {
            Ok(Box::new(Es256(point.clone())))
        }
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

/// RSASSA-PKCS1-v1_5 with SHA-256; keys of 2,048 bits and more.
struct Rs256(RsaPublicKeyComponents<Vec<u8>>);

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// ECDSA over P-256 with SHA-256; the key is an uncompressed point.
struct Es256(Vec<u8>);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0);
        key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}
