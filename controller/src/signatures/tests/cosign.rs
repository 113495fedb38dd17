//! What the real cosign wrote, in both forms: good for the key that made it, and for nothing else. How it was made:
//! `cosign/README.md`.

use super::*;

const IMAGE: &[u8] = include_bytes!("cosign/image.json");
const OLDER: &[u8] = include_bytes!("cosign/older.manifest.json");

/// One of the two keys, and what was signed with it.
struct Made {
    public: &'static [u8],
    payload: &'static [u8],
    bundle: &'static [u8],
    /// Which layer of the older manifest is its.
    layer: usize,
}

const BY_COSIGN: Made = Made {
    public: include_bytes!("cosign/cosign.pub"),
    payload: include_bytes!("cosign/older-cosign.payload.json"),
    bundle: include_bytes!("cosign/bundle-cosign.json"),
    layer: 0,
};
const BY_OTHER: Made = Made {
    public: include_bytes!("cosign/other.pub"),
    payload: include_bytes!("cosign/older-other.payload.json"),
    bundle: include_bytes!("cosign/bundle-other.json"),
    layer: 1,
};

impl Made {
    /// What is asked of this key's signatures of `digest`.
    fn judges(&self, digest: &Digest, signature: Signature) -> Option<Signed> {
        let keys = [("a Secret".to_owned(), self.public.to_vec())];
        verifier().judge(digest, Trust::Keys(&keys), &[signature]).unwrap()
    }

    /// As its manifest has it.
    fn older(&self) -> Simple {
        let manifest: serde_json::Value = serde_json::from_slice(OLDER).unwrap();
        let layer = &manifest["layers"][self.layer];
        assert_eq!(layer["digest"], Digest::of(self.payload).as_str());
        let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
        Simple { payload: self.payload.to_vec().into(), signature: signature.to_owned(), ..Simple::default() }
    }

    fn envelope(&self) -> serde_json::Value {
        serde_json::from_slice(self.bundle).unwrap()
    }
}

fn older(simple: Simple) -> Signature {
    Signature::Simple(Box::new(simple))
}

fn newer(bytes: &[u8]) -> Signature {
    Signature::Bundle(bytes.to_vec().into())
}

#[test]
fn what_cosign_writes_is_good_in_both_forms_and_for_its_own_key_and_image_alone() {
    let digest = Digest::of(IMAGE);
    for (made, not) in [(BY_COSIGN, BY_OTHER), (BY_OTHER, BY_COSIGN)] {
        for signature in [older(made.older()), newer(made.bundle)] {
            let found = made.judges(&digest, signature.clone());
            assert!(is_trusted(&found), "{found:?}");
            foreign(not.judges(&digest, signature.clone()), "none of the keys");
            foreign(made.judges(&image(), signature), "another image");
        }
    }
}

#[test]
fn one_changed_byte_of_what_cosign_wrote_is_refused_wherever_it_is() {
    let digest = Digest::of(IMAGE);
    let made = BY_COSIGN;
    let refused = |what: &str, at: usize, signature: Signature| {
        let found = made.judges(&digest, signature);
        // Of what is no signature any more nothing is said, and nothing is trusted.
        assert!(matches!(found, None | Some(Signed::Foreign(_))), "byte {at} of {what}: {found:?}");
    };
    let each = |bytes: &[u8], refused: &dyn Fn(usize, Vec<u8>)| {
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            refused(at, changed);
        }
    };
    let good = made.older();
    each(made.payload, &|at, payload| {
        refused("the payload", at, older(Simple { payload: payload.into(), ..good.clone() }));
    });
    each(&STANDARD.decode(&good.signature).unwrap(), &|at, signature| {
        let signature = STANDARD.encode(signature);
        refused("the signature", at, older(Simple { signature, ..good.clone() }));
    });
    let good = made.envelope();
    let inside = |pointer: &str| {
        STANDARD.decode(good.pointer(pointer).and_then(serde_json::Value::as_str).unwrap()).unwrap()
    };
    for pointer in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
        each(&inside(pointer), &|at, bytes| {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = STANDARD.encode(bytes).into();
            refused(pointer, at, newer(changed.to_string().as_bytes()));
        });
    }
    let kind = good["dsseEnvelope"]["payloadType"].as_str().unwrap();
    each(kind.as_bytes(), &|at, bytes| {
        let mut changed = good.clone();
        changed["dsseEnvelope"]["payloadType"] = String::from_utf8(bytes).unwrap().into();
        refused("the payload's type", at, newer(changed.to_string().as_bytes()));
    });
}
