//! Signing in with an OpenID provider: one in this process that does what a provider does, and what an attacker would.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tideline_engine::clock::{Clock as _, ManualClock};
use tideline_server::app::router;
use tideline_server::auth::keys::KeyLimits;
use tideline_server::auth::oidc::Oidc;
use tideline_server::auth::scope::Scope;
use url::Url;

use crate::app::{Answer, App};
use crate::auth::make_key;

const NOW_S: i64 = 1_780_000_000;
const OWN: &str = "https://shop-analytics.example";
const CLIENT: &str = "tideline at the shop";
const SECRET: &str = "hunter2:with%signs+and spaces";
const ACCESS_TOKEN: &str = "access-token-of-the-test";

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Signing {
    Rs256,
    Es256,
    /// `alg: none`, with an empty signature.
    Nothing,
    /// `alg: none` with a signature that would be right.
    NothingButSigned,
    /// HMAC with what anybody can know of the key.
    HmacOfModulus,
    HmacOfDocument,
    /// Another RSA key under the name of the right one.
    Forged,
    /// Another RSA key under a name of its own.
    Unknown,
    /// The right key, then something else said.
    Altered,
    /// Signed with one key and said to be by the other.
    Crossed,
}

/// What the provider's token endpoint was told.
#[derive(Debug, Clone, Default)]
struct Grant {
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

type Change = fn(&mut Value, &mut Value);

struct Provided {
    rsa: rsa::KeyPair,
    other: rsa::KeyPair,
    ec: EcdsaKeyPair,
    rsa_id: String,
    codes: HashMap<String, Grant>,
    signing: Signing,
    /// What is unusual about the next tokens: their header, their claims.
    change: Change,
    /// What is unusual about the discovery document.
    document: Change,
    userinfo: Value,
    requests: Vec<String>,
    how: Vec<&'static str>,
}

#[derive(Clone)]
struct Provider {
    issuer: String,
    shared: Arc<Mutex<Provided>>,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_key(dir: &Path, name: &str) -> rsa::KeyPair {
    let file = dir.join(name);
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER", "-out"])
        .arg(&file)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl is missing");
    // Versions of openssl differ in the DER they write.
    let der = std::fs::read(file).unwrap();
    rsa::KeyPair::from_pkcs8(&der).or_else(|_| rsa::KeyPair::from_der(&der)).unwrap()
}

fn jwk(key: &rsa::KeyPair, id: &str) -> Value {
    let public = rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": encode(&public.n), "e": encode(&public.e) })
}

fn rs256(key: &rsa::KeyPair, text: &str) -> Vec<u8> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    signature
}

fn hs256(secret: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

impl Provided {
    fn keys(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(encode);
        json!({ "keys": [
            { "kty": "oct", "kid": "a secret", "k": "AAAA" },
            { "kty": "of another world", "kid": "rsa" },
            { "kty": "RSA", "use": "enc", "kid": "rsa", "n": "AQAB", "e": "AQAB" },
            jwk(&self.rsa, &self.rsa_id),
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y },
        ] })
    }

    fn token(&self, claims: Value) -> String {
        let mut claims = claims;
        let (alg, kid) = match self.signing {
            Signing::Rs256 | Signing::Forged | Signing::Altered => ("RS256", self.rsa_id.as_str()),
            Signing::Es256 => ("ES256", "ec"),
            Signing::Nothing | Signing::NothingButSigned => ("none", self.rsa_id.as_str()),
            Signing::HmacOfModulus | Signing::HmacOfDocument => ("HS256", self.rsa_id.as_str()),
            Signing::Unknown => ("RS256", "unknown"),
            Signing::Crossed => ("ES256", self.rsa_id.as_str()),
        };
        let mut header = json!({ "alg": alg, "kid": kid, "typ": "JWT" });
        (self.change)(&mut header, &mut claims);
        let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let public = rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let signature = match self.signing {
            Signing::Rs256 | Signing::Altered | Signing::NothingButSigned => rs256(&self.rsa, &text),
            Signing::Es256 | Signing::Crossed => {
                self.ec.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
            }
            Signing::Nothing => Vec::new(),
            Signing::HmacOfModulus => hs256(&public.n, &text),
            Signing::HmacOfDocument => hs256(jwk(&self.rsa, &self.rsa_id).to_string().as_bytes(), &text),
            Signing::Forged | Signing::Unknown => rs256(&self.other, &text),
        };
        let text = match self.signing {
            Signing::Altered => {
                claims["sub"] = json!("somebody else");
                format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
            }
            _ => text,
        };
        format!("{text}.{}", encode(signature))
    }
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    let mut shared = provider.shared.lock();
    shared.requests.push("discovery".to_owned());
    let issuer = &provider.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
    });
    (shared.document)(&mut document, &mut Value::Null);
    Json(document)
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    let mut shared = provider.shared.lock();
    shared.requests.push("keys".to_owned());
    Json(shared.keys())
}

async fn userinfo(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    let mut shared = provider.shared.lock();
    shared.requests.push("userinfo".to_owned());
    if headers[AUTHORIZATION] != format!("Bearer {ACCESS_TOKEN}") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(shared.userinfo.clone()).into_response()
}

async fn exchange(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let mut shared = provider.shared.lock();
    shared.requests.push("token".to_owned());
    let refused = |why: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response();
    let basic = headers.get(AUTHORIZATION).map(|value| {
        let pair = BASE64_STANDARD.decode(value.to_str().unwrap().strip_prefix("Basic ").unwrap()).unwrap();
        let pair = String::from_utf8(pair).unwrap();
        let (id, secret) = pair.split_once(':').unwrap();
        let plain =
            |text: &str| url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().unwrap().1.into_owned();
        (plain(id), plain(secret))
    });
    let field = |name: &str| form.get(name).cloned();
    let (how, who) = match basic {
        Some(pair) => ("basic", Some(pair)),
        None if form.contains_key("client_secret") => ("post", field("client_id").zip(field("client_secret"))),
        None => ("none", field("client_id").map(|id| (id, SECRET.to_owned()))),
    };
    shared.how.push(how);
    if who != Some((CLIENT.to_owned(), SECRET.to_owned())) || form["grant_type"] != "authorization_code" {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_client" }))).into_response();
    }
    // A code is good once.
    let Some(grant) = shared.codes.remove(&form["code"]) else { return refused("invalid_grant") };
    if grant.challenge != encode(Sha256::digest(form["code_verifier"].as_bytes()))
        || grant.redirect_uri != form["redirect_uri"]
    {
        return refused("invalid_grant");
    }
    let token = shared.token(json!({
        "iss": provider.issuer,
        "sub": "u-1",
        "aud": CLIENT,
        "exp": NOW_S + 300,
        "iat": NOW_S,
        "nonce": grant.nonce,
        "email": "Anna@shop.example",
        "email_verified": true,
        "name": "Anna",
    }));
    Json(json!({ "id_token": token, "access_token": ACCESS_TOKEN, "token_type": "Bearer" })).into_response()
}

/// The application and its provider.
struct Desk {
    app: App,
    provider: Provider,
    clock: Arc<ManualClock>,
}

impl Desk {
    fn start(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &SystemRandom::new());
        let provided = Provided {
            rsa: rsa_key(dir.path(), "rsa"),
            other: rsa_key(dir.path(), "other"),
            ec: ec.unwrap(),
            rsa_id: "rsa".to_owned(),
            codes: HashMap::new(),
            signing: Signing::Rs256,
            change: |_, _| {},
            document: |_, _| {},
            userinfo: json!({ "sub": "u-1" }),
            requests: Vec::new(),
            how: Vec::new(),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let provider = Provider { issuer: format!("http://{address}/realm"), shared: Arc::new(Mutex::new(provided)) };
        let mut all = vec![
            ("oidc.issuer", provider.issuer.as_str()),
            ("oidc.client_id", CLIENT),
            ("oidc.client_secret", SECRET),
            ("oidc.public_url", OWN),
            ("oidc.allow_read", "@shop.example"),
            ("oidc.allow_admin", "group:owners"),
        ];
        all.extend(settings);
        let clock = Arc::new(ManualClock::new(NOW_S * 1_000_000));
        let mut app = App::start_with(&all, Arc::<ManualClock>::clone(&clock));
        let routes = axum::Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/realm/keys", get(keys))
            .route("/realm/token", post(exchange))
            .route("/realm/userinfo", get(userinfo))
            .with_state(provider.clone());
        app.runtime
            .spawn(async move { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), routes).await });
        make_key(&app, &[Scope::Admin], KeyLimits::default(), None);
        let oidc = Oidc::load(&app.config, Arc::<ManualClock>::clone(&clock)).unwrap();
        app.state = app.state.clone().with_oidc(oidc);
        app.router = router(app.state.clone());
        Self { app, provider, clock }
    }

    fn ask(&self, method: &str, uri: &str, cookies: &str) -> Answer {
        // What a browser says when another site's page has sent it.
        let request = Request::builder().method(method).uri(uri).header(HOST, "shop-analytics.example");
        let request = request.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate");
        let request = if method == "GET" { request } else { request.header(ORIGIN, OWN) };
        self.app.send(request.header(COOKIE, cookies).body(Body::empty()).unwrap())
    }

    /// To the provider: the cookie, and what the browser is sent there with.
    fn leave(&self) -> (String, HashMap<String, String>) {
        let answer = self.ask("GET", "/session/oidc", "");
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        let location = Url::parse(answer.headers[LOCATION].to_str().unwrap()).unwrap();
        assert!(location.as_str().starts_with(&format!("{}/authorize?tenant=1&", self.provider.issuer)), "{location}");
        (cookie(&answer, "tideline_oidc").unwrap(), location.query_pairs().into_owned().collect())
    }

    /// What the provider does when somebody agrees: a code.
    fn agree(&self, sent: &HashMap<String, String>) -> String {
        let mut shared = self.provider.shared.lock();
        let code = format!("code-{}", shared.codes.len() + shared.requests.len() * 100);
        let grant = Grant {
            nonce: sent["nonce"].clone(),
            challenge: sent["code_challenge"].clone(),
            redirect_uri: sent["redirect_uri"].clone(),
        };
        shared.codes.insert(code.clone(), grant);
        code
    }

    fn back(&self, cookie: &str, params: &[(&str, &str)]) -> Answer {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let answer = self.ask("GET", &format!("/session/oidc/callback?{query}"), cookie);
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        assert_eq!((answer.headers["cache-control"].as_bytes(), answer.body.len()), (&b"no-store"[..], 0));
        answer
    }

    /// The whole way: where the browser ends, and its session's cookie where it has one.
    fn sign_in(&self) -> (String, Option<String>) {
        let (cookie, sent) = self.leave();
        let code = self.agree(&sent);
        ended(&self.back(&cookie, &[("code", &code), ("state", &sent["state"])]))
    }

    fn count(&self, what: &str) -> usize {
        self.provider.shared.lock().requests.iter().filter(|request| *request == what).count()
    }
}

fn ended(answer: &Answer) -> (String, Option<String>) {
    (answer.headers[LOCATION].to_str().unwrap().to_owned(), cookie(answer, "tideline_session"))
}

/// `name=value` of a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let mut set = answer.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap());
    let whole = set.find(|whole| whole.starts_with(&format!("{name}=")))?;
    Some(whole.split(';').next().unwrap().to_owned())
}

fn failed(code: &str) -> (String, Option<String>) {
    (format!("/?sign_in={code}"), None)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn somebody_signs_in_looks_around_and_leaves_and_the_log_has_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    // Nobody else has set one where each test is a process; elsewhere this looks at less.
    let _ =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).try_init();
    let desk = Desk::start(&[]);
    assert_eq!(desk.app.get("/config").json()["single_sign_on"], true);
    let begun = desk.ask("GET", "/session/oidc", "");
    let whole = begun.headers[SET_COOKIE].to_str().unwrap();
    assert!(whole.ends_with("; Path=/session/oidc; Max-Age=600; HttpOnly; SameSite=Lax; Secure"), "{whole}");
    let (waiting, sent) = desk.leave();
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://shop-analytics.example/session/oidc/callback"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(sent[name], value, "{name}");
    }
    assert!(sent["state"].len() == 43 && sent["nonce"].len() == 43 && sent["code_challenge"].len() == 43, "{sent:?}");
    let code = desk.agree(&sent);
    let answer = desk.back(&waiting, &[("code", &code), ("state", &sent["state"])]);
    let (location, session) = ended(&answer);
    assert_eq!((location.as_str(), cookie(&answer, "tideline_oidc")), ("/", Some("tideline_oidc=".to_owned())));
    let session = session.unwrap();
    let all: Vec<_> = answer.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
    assert!(all.iter().any(|c| c.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure")), "{all:?}");

    let whose = desk.ask("GET", "/session", &session).json();
    let named = (&whose["by"], &whose["key_id"], &whose["name"], &whose["scopes"]);
    assert_eq!(named, (&json!("session"), &Value::Null, &json!("Anna"), &json!(["read"])));
    assert_eq!(desk.ask("GET", "/sql?q=select+1", &session).status, StatusCode::OK);
    assert_eq!(desk.ask("GET", "/admin/keys", &session).code(), "scope_missing");
    // Only own pages write with the cookie, as with any session.
    let foreign = Request::post("/sql").header(HOST, "shop-analytics.example").header(COOKIE, &session);
    assert_eq!(desk.app.send(foreign.body("select 1".into()).unwrap()).code(), "csrf");
    // The state again, with a code that would be good: too late.
    let code_2 = desk.agree(&sent);
    let again = desk.back(&waiting, &[("code", &code_2), ("state", &sent["state"])]);
    assert_eq!(ended(&again), failed("expired"));

    desk.clock.advance(Duration::from_secs(12 * 3_600 - 1));
    assert_eq!(desk.ask("GET", "/session", &session).status, StatusCode::OK);
    desk.clock.advance(Duration::from_secs(1));
    assert_eq!(desk.ask("GET", "/session", &session).code(), "session_ended");
    let other = desk.sign_in();
    assert_eq!(other, failed("invalid"), "the provider's tokens are old by now");

    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains("somebody signed in") || log.is_empty(), "{log}");
    let [waiting, session] = [&waiting, &session].map(|cookie| cookie.split_once('=').unwrap().1);
    let encoded = BASE64_STANDARD.encode("tideline");
    for secret in [&code, &code_2, &sent["state"], &sent["nonce"], waiting, session, "hunter2", ACCESS_TOKEN, "eyJ"] {
        assert!(!log.contains(secret), "{secret}");
    }
    assert!(!log.contains(encoded.trim_end_matches('=')) && !log.contains("Anna"), "a header, or who it was");
}

#[test]
fn a_token_that_does_not_hold_signs_nobody_in() {
    let desk = Desk::start(&[]);
    let set = |signing: Signing, change: Change| {
        let mut shared = desk.provider.shared.lock();
        (shared.signing, shared.change) = (signing, change);
    };
    let as_it_is: Change = |_, _| {};
    for signing in [
        Signing::Nothing,
        Signing::NothingButSigned,
        Signing::HmacOfModulus,
        Signing::HmacOfDocument,
        Signing::Forged,
        Signing::Unknown,
        Signing::Altered,
        Signing::Crossed,
    ] {
        set(signing, as_it_is);
        assert_eq!(desk.sign_in(), failed("invalid"), "{signing:?}");
    }
    let changes: [(&str, Change); 25] = [
        ("another nonce", |_, claims| claims["nonce"] = json!("another")),
        ("no nonce", |_, claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
        ("another issuer", |_, claims| claims["iss"] = json!("https://evil.example")),
        ("a list of issuers", |_, claims| claims["iss"] = json!([claims["iss"], "https://evil.example"])),
        ("no issuer", |_, claims| drop(claims.as_object_mut().unwrap().remove("iss"))),
        ("for another", |_, claims| claims["aud"] = json!("another client")),
        ("for no one", |_, claims| claims["aud"] = json!([])),
        ("no audience", |_, claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ("for several, by nobody", |_, claims| claims["aud"] = json!([CLIENT, "another client"])),
        ("by another party", |_, claims| claims["azp"] = json!("another client")),
        ("by no text", |_, claims| claims["azp"] = Value::Null),
        ("expired", |_, claims| claims["exp"] = json!(NOW_S - 60)),
        ("no end", |_, claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ("an end that is no number", |_, claims| claims["exp"] = json!("2100-01-01")),
        ("made in the future", |_, claims| claims["iat"] = json!(NOW_S + 61)),
        ("made at no time", |_, claims| drop(claims.as_object_mut().unwrap().remove("iat"))),
        ("not valid yet", |_, claims| claims["nbf"] = json!(NOW_S + 61)),
        ("valid from no time", |_, claims| claims["nbf"] = json!("now")),
        ("about nobody", |_, claims| drop(claims.as_object_mut().unwrap().remove("sub"))),
        ("about an empty one", |_, claims| claims["sub"] = json!("")),
        ("about a long one", |_, claims| claims["sub"] = json!("x".repeat(256))),
        ("an access token", |header, _| header["typ"] = json!("at+jwt")),
        ("critical", |header, _| header["crit"] = json!(["b64"])),
        ("another's algorithm", |header, _| header["alg"] = json!("RS512")),
        ("of two keys", |header, _| drop(header.as_object_mut().unwrap().remove("kid"))),
    ];
    for (name, change) in changes {
        set(Signing::Rs256, change);
        assert_eq!(desk.sign_in(), failed("invalid"), "{name}");
    }
    let good: [(&str, Change); 4] = [
        ("as it is", as_it_is),
        ("within the leeway", |_, claims| claims["exp"] = json!(NOW_S - 59)),
        ("fractions of a second", |_, claims| claims["exp"] = json!(NOW_S as f64 + 0.5)),
        ("for several, by us", |_, claims| {
            claims["aud"] = json!(["another client", CLIENT]);
            claims["azp"] = json!(CLIENT);
        }),
    ];
    for (name, change) in good {
        for signing in [Signing::Rs256, Signing::Es256] {
            set(signing, change);
            let (location, session) = desk.sign_in();
            assert!(location == "/" && session.is_some(), "{name}, {signing:?}: {location}");
        }
    }
}

#[test]
fn only_the_browser_that_left_comes_back_once_and_in_time() {
    let desk = Desk::start(&[]);
    let (own, sent) = desk.leave();
    let (another, _) = desk.leave();
    let code = desk.agree(&sent);
    let state = sent["state"].as_str();
    let twice = format!("{own}; {another}");
    for (cookie, params, why) in [
        (another.as_str(), vec![("code", code.as_str()), ("state", state)], "expired"),
        ("", vec![("code", &code), ("state", state)], "expired"),
        (&twice, vec![("code", &code), ("state", state)], "expired"),
        (&own, vec![("code", &code)], "expired"),
        (&own, vec![("code", &code), ("state", "another")], "expired"),
        (&own, vec![("code", &code), ("state", state), ("state", "another")], "invalid"),
    ] {
        assert_eq!(ended(&desk.back(cookie, &params)), failed(why), "{cookie} {params:?}");
    }
    assert_eq!(desk.count("token"), 0, "nothing was asked for them");
    // None of it ended what they tried to take over.
    let (location, session) = ended(&desk.back(&own, &[("code", &code), ("state", state)]));
    assert!(location == "/" && session.is_some());
    // A code that was used, in a flow of one's own.
    let (own, sent) = desk.leave();
    assert_eq!(ended(&desk.back(&own, &[("code", &code), ("state", &sent["state"])])), failed("invalid"));
    // A code that was given to another browser: the verifier is not its.
    let ((mine, my), (_, theirs)) = (desk.leave(), desk.leave());
    let stolen = desk.agree(&theirs);
    assert_eq!(ended(&desk.back(&mine, &[("code", &stolen), ("state", &my["state"])])), failed("invalid"));

    let (own, sent) = desk.leave();
    let code = desk.agree(&sent);
    desk.clock.advance(Duration::from_secs(600));
    assert_eq!(ended(&desk.back(&own, &[("code", &code), ("state", &sent["state"])])), failed("expired"));
}

#[test]
fn a_provider_that_says_no_or_nothing_is_told_by_the_page() {
    let desk = Desk::start(&[]);
    let (own, sent) = desk.leave();
    let answer = desk.back(&own, &[("error", "access_denied"), ("state", &sent["state"])]);
    assert_eq!(ended(&answer), failed("refused"));
    // An answer of another issuer (RFC 9207).
    let (own, sent) = desk.leave();
    let code = desk.agree(&sent);
    let mixed_up = [("code", code.as_str()), ("state", &sent["state"]), ("iss", "https://evil.example")];
    assert_eq!(ended(&desk.back(&own, &mixed_up)), failed("invalid"));
    let (own, sent) = desk.leave();
    assert_eq!(ended(&desk.back(&own, &[("state", &sent["state"])])), failed("invalid"));
    assert_eq!((desk.count("token"), desk.count("discovery")), (0, 1), "the document is kept");

    let changes: [Change; 5] = [
        |document, _| document["issuer"] = json!("https://evil.example"),
        |document, _| document["issuer"] = json!(format!("{}/", document["issuer"].as_str().unwrap())),
        |document, _| document["token_endpoint"] = json!("http://evil.example/token"),
        |document, _| document["userinfo_endpoint"] = json!("ftp://evil.example/me"),
        |document, _| drop(document.as_object_mut().unwrap().remove("jwks_uri")),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        desk.clock.advance(Duration::from_secs(3_600));
        desk.provider.shared.lock().document = change;
        for _ in 0..2 {
            assert_eq!(ended(&desk.ask("GET", "/session/oidc", "")), failed("unreachable"), "{at}");
        }
        assert_eq!(desk.count("discovery"), at + 2, "it is left alone for a moment");
    }
    desk.provider.shared.lock().document = |_, _| {};
    desk.clock.advance(Duration::from_secs(5));
    assert!(desk.sign_in().0.starts_with("/?sign_in=invalid"), "its tokens are old by now, and it is asked again");

    let app = App::start(&[]);
    make_key(&app, &[Scope::Admin], KeyLimits::default(), None);
    for path in ["/session/oidc", "/session/oidc/callback?code=x&state=y"] {
        let answer = app.get(path);
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "single_sign_on_off"));
    }
    assert_eq!(app.get("/config").json()["single_sign_on"], false);
}

#[test]
fn new_keys_are_fetched_when_a_token_names_one_but_not_again_and_again() {
    let desk = Desk::start(&[]);
    assert!(desk.sign_in().1.is_some());
    assert!(desk.sign_in().1.is_some());
    assert_eq!(desk.count("keys"), 1);
    desk.provider.shared.lock().signing = Signing::Unknown;
    for _ in 0..3 {
        assert_eq!(desk.sign_in(), failed("invalid"));
    }
    assert_eq!(desk.count("keys"), 1, "they were read a moment ago");
    desk.clock.advance(Duration::from_secs(30));
    for _ in 0..3 {
        assert_eq!(desk.sign_in(), failed("invalid"));
    }
    assert_eq!(desk.count("keys"), 2);
    // The provider has a new key, and no longer the old one.
    {
        let mut shared = desk.provider.shared.lock();
        (shared.signing, shared.rsa_id) = (Signing::Rs256, "rsa-2".to_owned());
    }
    assert_eq!(desk.sign_in(), failed("invalid"));
    desk.clock.advance(Duration::from_secs(30));
    assert!(desk.sign_in().1.is_some());
    assert_eq!(desk.count("keys"), 3);
}

#[test]
fn the_rules_say_who_is_let_in_and_the_provider_is_asked_for_what_they_need() {
    let desk = Desk::start(&[]);
    let set = |change: Change, userinfo: Value| {
        let mut shared = desk.provider.shared.lock();
        (shared.change, shared.userinfo) = (change, userinfo);
    };
    let scopes = || {
        let session = desk.sign_in().1?;
        Some(desk.ask("GET", "/session", &session).json()["scopes"].to_string())
    };
    let bare: Change = |_, claims| {
        ["email", "email_verified", "name"].iter().for_each(|name| {
            claims.as_object_mut().unwrap().remove(*name);
        })
    };
    for (userinfo, wanted) in [
        (json!({ "sub": "u-1" }), None),
        (json!({ "sub": "u-1", "email": "anna@shop.example" }), None),
        (json!({ "sub": "u-1", "email": "anna@evil.example", "email_verified": true }), None),
        (json!({ "sub": "u-1", "email": "anna@shop.example", "email_verified": true }), Some(r#"["read"]"#)),
        (json!({ "sub": "u-1", "groups": ["owners"] }), Some(r#"["admin"]"#)),
    ] {
        set(bare, userinfo.clone());
        assert_eq!(scopes().as_deref(), wanted, "{userinfo}");
        if wanted.is_none() {
            assert_eq!(desk.sign_in(), failed("not_allowed"), "{userinfo}");
        }
    }
    // What is about somebody else is not taken; what is signed is not replaced.
    set(bare, json!({ "sub": "u-2", "groups": ["owners"] }));
    assert_eq!(desk.sign_in(), failed("invalid"));
    set(
        |_, claims| claims["email_verified"] = json!(false),
        json!({ "sub": "u-1", "email": "anna@shop.example", "email_verified": true }),
    );
    assert_eq!(desk.sign_in(), failed("not_allowed"));
    // Nor is an address of one source taken as verified because the other has verified another.
    set(
        |_, claims| drop(claims.as_object_mut().unwrap().remove("email_verified")),
        json!({ "sub": "u-1", "email": "anna@evil.example", "email_verified": true }),
    );
    assert_eq!(desk.sign_in(), failed("not_allowed"));
    set(
        |_, claims| drop(claims.as_object_mut().unwrap().remove("email_verified")),
        json!({ "sub": "u-1", "email_verified": true }),
    );
    assert_eq!(desk.sign_in(), failed("not_allowed"));
    // Where the token has all of it nobody is asked.
    let before = desk.count("userinfo");
    set(|_, claims| claims["groups"] = json!(["owners"]), json!({}));
    assert_eq!(scopes().as_deref(), Some(r#"["read","admin"]"#));
    assert_eq!(desk.count("userinfo"), before);
}

#[test]
fn the_client_shows_who_it_is_as_the_provider_takes_it() {
    let desk = Desk::start(&[]);
    assert!(desk.sign_in().1.is_some());
    for (document, how) in [
        (
            (|d, _| d["token_endpoint_auth_methods_supported"] = json!(["client_secret_post", "client_secret_basic"]))
                as Change,
            "basic",
        ),
        (|d, _| d["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]), "post"),
    ] {
        let desk = Desk::start(&[]);
        desk.provider.shared.lock().document = document;
        assert!(desk.sign_in().1.is_some(), "{how}");
        assert_eq!(desk.provider.shared.lock().how, [how]);
    }
    let public = Desk::start(&[("oidc.client_secret", "")]);
    assert!(public.sign_in().1.is_some());
    assert_eq!((&public.provider.shared.lock().how, public.clock.now()), (&vec!["none"], NOW_S * 1_000_000));
}
