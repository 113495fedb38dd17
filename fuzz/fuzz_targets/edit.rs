//! An edit changes only its value or refuses, whatever the file. Seeds: the files of `controller/edit/tests/corpus`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockkeeper_edit::{Edit, Marked, Path, Pin, edit};
use std::sync::Once;

/// The second parser may panic, and the edit is refused then: only what is not caught ends the run.
static CAUGHT: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    CAUGHT.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
    let image = "ghcr.io/acme/api:1.20";
    let path: Path = ".image".parse().expect("a path");
    let pin = Pin::of_image(image.parse().expect("an image"));
    let policy: Marked = "apps:api".parse().expect("namespace:name");
    for asked in [
        Edit::Path { path: &path, value: "1.20" },
        Edit::HelmValues { path: &path, pin: &pin },
        Edit::Kustomize { pin: &pin, name: None },
        Edit::Marker { policy: &policy, pin: &pin },
    ] {
        let Ok(edited) = edit("-", bytes, None, &asked) else { continue };
        // That only the value differs is checked by the edit itself; here: that it settles, and lines are only added.
        let again = edit("-", &edited.bytes, None, &asked).expect("what was edited can be edited");
        assert!(again.changes.is_empty() && again.bytes == edited.bytes);
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        assert!(lines(&edited.bytes) >= lines(bytes));
        assert_eq!(edited.changes.is_empty(), edited.bytes == bytes);
    }
});
