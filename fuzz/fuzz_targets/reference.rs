//! Whatever is a reference is printed as it was written, its normalised form stays as it is, and a pin made of it is a
//! reference; whatever is none is wrong at a character that is there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockkeeper_core::image::{Digest, ImageRef, digest_of_image_id, mistake_at};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // Total, on anything.
    let _digest = digest_of_image_id(&text);
    let registered = ImageRef::by_registered_digest(&text);
    let Ok(image) = text.parse::<ImageRef>() else {
        let at = mistake_at(&text).unwrap_or_else(|| panic!("{text:?} is wrong nowhere"));
        assert!((1..=text.chars().count() + 1).contains(&at), "{text:?} is wrong at {at}");
        return;
    };
    assert!(mistake_at(&text).is_none() && registered.is_none(), "{text:?}");
    assert_eq!(image.to_string(), text);
    let canonical = image.canonical();
    let normal: ImageRef = canonical.parse().unwrap_or_else(|error| panic!("{text:?} is {canonical:?}: {error}"));
    assert_eq!(normal.canonical(), canonical, "{text:?}");
    assert_eq!(normal.repository(), image.repository(), "{text:?}");
    let digest = Digest::of(bytes);
    let pinned: ImageRef = image.pinned(image.tag(), &digest).parse().expect("a pin is a reference");
    assert_eq!((pinned.repository(), pinned.digest()), (image.repository(), Some(&digest)), "{text:?}");
});
