//! Real keys and real signatures: what is let in, and everything that must not be.

mod cosign;
mod material;

use super::*;
use lockkeeper_core::signature::Whole;
use material::{Instance, SIGNS, SigningKey, bundle, payload, simple, statement};

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "https://github.com/acme/otel/.github/workflows/release.yaml@refs/tags/v1";

fn image() -> Digest {
    Digest::of(b"the image")
}

fn other() -> Digest {
    Digest::of(b"another image")
}

fn verifier() -> SigstoreVerifier {
    SigstoreVerifier::new(None).unwrap()
}

/// What signatures of the image are worth, held against these keys.
fn by_keys(keys: &[&SigningKey], signatures: &[Signature]) -> Option<Signed> {
    let pems: Vec<(String, Vec<u8>)> = keys.iter().map(|key| ("a Secret".to_owned(), key.pem())).collect();
    verifier().judge(&image(), Trust::Keys(&pems), signatures).unwrap()
}

#[track_caller]
fn foreign(found: Option<Signed>, part: &str) {
    let Some(Signed::Foreign(why)) = found else { panic!("{found:?}, and not foreign: {part}") };
    assert!(why.contains(part), "{why}");
}

#[expect(clippy::ref_option, reason = "answers are held against it as they come")]
fn is_trusted(found: &Option<Signed>) -> bool {
    matches!(found, Some(Signed::Trusted(_)))
}

#[test]
fn a_key_signs_in_both_forms() {
    let key = SigningKey::new();
    let digest = image();
    for good in [simple(&key, &payload(digest.as_str())), bundle(&key, &statement(&digest, SIGNS))] {
        assert!(is_trusted(&by_keys(&[&key], std::slice::from_ref(&good))), "{good:?}");
        assert!(is_trusted(&by_keys(&[&SigningKey::new(), &key], std::slice::from_ref(&good))));
        foreign(by_keys(&[&SigningKey::new()], &[good]), "none of the keys");
    }
    assert_eq!(by_keys(&[&key], &[]), None, "nothing there is not signed");
}

#[test]
fn another_images_digest_is_refused_though_the_key_is_right() {
    let key = SigningKey::new();
    foreign(by_keys(&[&key], &[simple(&key, &payload(other().as_str()))]), "another image");
    foreign(by_keys(&[&key], &[bundle(&key, &statement(&other(), SIGNS))]), "another image");
}

#[test]
fn garbage_is_refused_and_hides_no_good_signature() {
    let key = SigningKey::new();
    let text = |json: &str| Signature::Bundle(json.as_bytes().to_vec().into());
    let good = payload(image().as_str());
    let with = |signature: &str, payload: &[u8]| {
        let simple =
            Simple { payload: payload.to_vec().into(), signature: signature.into(), ..Simple::default() };
        Signature::Simple(Box::new(simple))
    };
    let mut changed = good.clone();
    changed.push(b' ');
    let Signature::Simple(signed) = simple(&key, &good) else { unreachable!() };
    let garbage = [
        text(""),
        text("{}"),
        text("[[[[[[["),
        text(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))),
        Signature::Bundle(vec![0xff, 0xfe].into()),
        with("!", &good),
        with("", &good),
        with("AAAA", &good),
        with(&signed.signature, &changed),
        with(&material::b64(key.sign(b"")), b""),
        with(&material::b64(key.sign(b"[]")), b"[]"),
        with(&material::b64(key.sign(br#"{"critical":{}}"#)), br#"{"critical":{}}"#),
        Signature::Unreadable("its bytes are gone".into()),
    ];
    for one in &garbage {
        let found = by_keys(&[&key], std::slice::from_ref(one));
        assert!(matches!(found, Some(Signed::Foreign(_))), "{one:?}: {found:?}");
    }
    let mut all = garbage.to_vec();
    all.push(simple(&key, &good));
    assert!(is_trusted(&by_keys(&[&key], &all)));
}

#[test]
fn a_payload_that_says_it_is_something_else_is_refused() {
    let key = SigningKey::new();
    let text = String::from_utf8(payload(image().as_str())).unwrap();
    let text = text.replace("cosign container image signature", "cosign attestation");
    foreign(by_keys(&[&key], &[simple(&key, text.as_bytes())]), "no image");
}

#[test]
fn an_attestation_is_no_signature_whoever_made_it() {
    let key = SigningKey::new();
    let scan = bundle(&key, &statement(&image(), "https://cosign.sigstore.dev/attestation/vuln/v1"));
    assert_eq!(by_keys(&[&key], &[scan]), None);
}

#[test]
fn a_key_that_is_none_says_what_is_wrong_and_shows_nothing_of_it() {
    let canary = "c4n4ry";
    let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----";
    let private = SigningKey::new().0.serialize_pem();
    for pem in [canary, "", rsa, &private] {
        let keys = [("spec.select.verify: Secret a/b, key cosign.pub".to_owned(), pem.as_bytes().to_vec())];
        let error = verifier().judge(&image(), Trust::Keys(&keys), &[]).unwrap_err();
        assert_eq!(error.reason, "SecretUnusable");
        assert!(error.message.contains("cosign.pub: holds") && error.message.contains("PEM"), "{error}");
        assert!(!error.message.contains(canary), "{error}");
    }
}

/// A verifier that believes this instance, and what it says of signatures by whom `subject` names.
fn by_identity(
    instance: &Instance,
    issuer: &Wanted,
    subject: &Wanted,
    signature: &Signature,
) -> Option<Signed> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trusted_root.json");
    std::fs::write(&file, instance.trusted_root()).unwrap();
    let verifier = SigstoreVerifier::new(Some(file)).unwrap();
    assert_eq!(verifier.trusted_root().unwrap().source, "mounted");
    let trust = Trust::Identity { issuer, subject };
    verifier.judge(&image(), trust, std::slice::from_ref(signature)).unwrap()
}

fn exactly(text: &str) -> Wanted {
    Wanted::Exactly(text.to_owned())
}

fn json(bundle: &serde_json::Value) -> Signature {
    Signature::Bundle(bundle.to_string().into_bytes().into())
}

#[test]
fn an_identity_signs_in_both_forms() {
    let instance = Instance::new();
    let signer = instance.signer(ISSUER, SUBJECT);
    let digest = image();
    let older = Signature::Simple(Box::new(instance.simple(&signer, &payload(digest.as_str()))));
    let newer = json(&instance.bundle(&signer, &statement(&digest, SIGNS)));
    let like = |text: &str| Wanted::Like(Whole::new(text).unwrap());
    for signature in [&older, &newer] {
        let judge = |issuer: &Wanted, subject: &Wanted| by_identity(&instance, issuer, subject, signature);
        let found = judge(&exactly(ISSUER), &exactly(SUBJECT));
        assert!(is_trusted(&found), "{found:?}");
        assert!(is_trusted(&judge(&exactly(ISSUER), &like("https://github.com/acme/.*"))));
        foreign(judge(&exactly(ISSUER), &like("https://github.com/acme")), "one is by");
        foreign(judge(&exactly(ISSUER), &exactly("https://github.com/evil")), SUBJECT.split_at(60).0);
        foreign(judge(&exactly("https://accounts.google.com"), &exactly(SUBJECT)), ISSUER);
        foreign(judge(&exactly(""), &exactly("")), "trusted root of");
    }
}

#[test]
fn an_identity_is_nobody_to_another_instance() {
    let (instance, another) = (Instance::new(), Instance::new());
    let signer = another.signer(ISSUER, SUBJECT);
    let older = Signature::Simple(Box::new(another.simple(&signer, &payload(image().as_str()))));
    let newer = json(&another.bundle(&signer, &statement(&image(), SIGNS)));
    for signature in [older, newer] {
        let found = by_identity(&instance, &exactly(ISSUER), &exactly(SUBJECT), &signature);
        foreign(found, "cannot be verified");
    }
}

#[test]
fn a_certificate_and_a_log_entry_of_another_signature_prove_nothing() {
    let instance = Instance::new();
    let signer = instance.signer(ISSUER, SUBJECT);
    let thief = SigningKey::new();
    let judge =
        |signature: &Signature| by_identity(&instance, &exactly(ISSUER), &exactly(SUBJECT), signature);
    // All genuine, of another image: the thief signs this one himself.
    let genuine = instance.simple(&signer, &payload(other().as_str()));
    foreign(judge(&Signature::Simple(Box::new(genuine.clone()))), "another image");
    let wanted = payload(image().as_str());
    let forged = Simple {
        payload: wanted.clone().into(),
        signature: material::b64(thief.sign(&wanted)),
        ..genuine.clone()
    };
    foreign(judge(&Signature::Simple(Box::new(forged))), "cannot be verified");
    let kept = Simple { payload: wanted.into(), ..genuine };
    foreign(judge(&Signature::Simple(Box::new(kept))), "cannot be verified");

    let genuine = instance.bundle(&signer, &statement(&other(), SIGNS));
    foreign(judge(&json(&genuine)), "cannot be verified");
    let mut forged = genuine.clone();
    let mine = instance.bundle(&instance.signer(ISSUER, "https://evil.example"), &statement(&image(), SIGNS));
    forged["dsseEnvelope"] = mine["dsseEnvelope"].clone();
    foreign(judge(&json(&forged)), "cannot be verified");
    // The entry is what proves when the certificate was used.
    let mut without = instance.bundle(&signer, &statement(&image(), SIGNS));
    without["verificationMaterial"]["tlogEntries"] = serde_json::json!([]);
    foreign(judge(&json(&without)), "transparency log");
    let mut unproved = instance.simple(&signer, &payload(image().as_str()));
    unproved.log = None;
    foreign(judge(&Signature::Simple(Box::new(unproved))), "transparency log");
    // A key alone is nobody.
    foreign(judge(&simple(&thief, &payload(image().as_str()))), "names no identity");
    foreign(judge(&bundle(&thief, &statement(&image(), SIGNS))), "transparency log");
}

#[test]
fn genuine_material_is_good_under_the_root_that_comes_with_the_program_and_for_nothing_else() {
    let genuine = include_bytes!("genuine/attestation.sigstore.json");
    let root = Root::bundled().unwrap();
    let bundle = Bundle::parse(genuine).unwrap();
    let about = "sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f".parse().unwrap();
    let who = root.verify_about(&bundle, &about).unwrap();
    assert_eq!(who.issuer, ISSUER);
    assert!(who.subject.starts_with("https://github.com/"), "{}", who.subject);
    assert!(root.verify_about(&bundle, &image()).is_err(), "it is about something else");
    assert!(
        Instance::new().root().verify_about(&bundle, &about).is_err(),
        "another root knows nobody of these"
    );
    // Its certificate and log entry around a statement about our image.
    let mut forged: serde_json::Value = serde_json::from_slice(genuine).unwrap();
    let statement = STANDARD.encode(statement(&image(), SIGNS));
    forged["dsseEnvelope"]["payload"] = serde_json::json!(statement);
    let anybody = Wanted::Like(Whole::new(".*").unwrap());
    let trust = Trust::Identity { issuer: &anybody, subject: &anybody };
    foreign(verifier().judge(&image(), trust, &[json(&forged)]).unwrap(), "cannot be verified");
}

#[test]
fn a_trusted_root_is_read_again_when_it_changes_and_a_broken_one_is_neither_yes_nor_no() {
    let (one, two) = (Instance::new(), Instance::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trusted_root.json");
    let write = |text: &str, seconds: u64| {
        std::fs::write(&file, text).unwrap();
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + seconds);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
    };
    write(&one.trusted_root(), 0);
    let verifier = SigstoreVerifier::new(Some(file.clone())).unwrap();
    let signer = two.signer(ISSUER, SUBJECT);
    let signature = [json(&two.bundle(&signer, &statement(&image(), SIGNS)))];
    let (issuer, subject) = (exactly(ISSUER), exactly(SUBJECT));
    let judge =
        || verifier.judge(&image(), Trust::Identity { issuer: &issuer, subject: &subject }, &signature);
    foreign(judge().unwrap(), "mounted trusted root of 2023-11-14");
    write(&two.trusted_root(), 86_400);
    assert!(is_trusted(&judge().unwrap()));
    assert_eq!(verifier.trusted_root().unwrap().since.to_string(), "2023-11-15T22:13:20Z");
    write("{}", 2 * 86_400);
    assert_eq!(judge().unwrap_err().reason, "TrustedRootUnusable");
    assert_eq!(verifier.trusted_root(), None);
    assert!(SigstoreVerifier::new(Some(file)).is_err(), "and nothing begins with it");
}
