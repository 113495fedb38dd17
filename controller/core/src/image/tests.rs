use proptest::prelude::*;

use super::*;

/// Texts that are references, or nearly.
fn near_references() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "",
        "docker\\.io/",
        "[a-c]{1,3}\\.[a-c]{1,3}(:[0-9]{1,5})?/",
        "\\[::[0-9a-f]{1,2}\\](:5000)?/"
    ];
    let path = "[a-zA]{1,3}([/._-]{1,2}[a-z0-9]{1,3}){0,2}";
    let tag = prop_oneof![Just(String::new()), ":[A-Za-z0-9_.-]{1,6}"];
    let digest = prop_oneof![
        Just(String::new()),
        Just(format!("@{}", Digest::of(b"x"))),
        "@(sha256|md5)?:?[0-9a-f]{0,9}"
    ];
    (host, path, tag, digest).prop_map(|(host, path, tag, digest)| format!("{host}{path}{tag}{digest}"))
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![near_references(), any::<String>(), "[a-z0-9:/@.\\[\\]%-]{0,40}"]
}

/// Fit to be shown: one line, not long.
fn presentable(message: &str) -> bool {
    !message.contains(char::is_control) && message.chars().count() < 700
}

proptest! {
    #[test]
    fn references_are_printed_as_they_were_read(text in any_text()) {
        match text.parse::<ImageRef>() {
            Ok(image) => {
                prop_assert_eq!(image.to_string(), text);
                prop_assert_eq!(&image.repository_text().parse::<Repository>().unwrap(), image.repository());
                let pin = image.pinned(image.tag(), &Digest::of(b"new"));
                let read: ImageRef = pin.parse().unwrap();
                prop_assert_eq!(read.repository_text(), image.repository_text());
                prop_assert_eq!((read.tag(), read.digest()), (image.tag(), Some(&Digest::of(b"new"))));
            }
            Err(error) => prop_assert!(presentable(&error.to_string()), "{}", error),
        }
    }

    #[test]
    fn a_normalised_repository_is_its_own_normal_form(text in any_text()) {
        match text.parse::<Repository>() {
            Ok(repository) => {
                prop_assert_eq!(&repository.to_string().parse::<Repository>().unwrap(), &repository);
                let json = serde_json::to_string(&repository).unwrap();
                prop_assert_eq!(serde_json::from_str::<Repository>(&json).unwrap(), repository);
            }
            Err(error) => prop_assert!(presentable(&error.to_string()), "{}", error),
        }
    }

    #[test]
    fn every_text_has_an_answer(text in any_text()) {
        let id = digest_of_image_id(&text);
        prop_assert!(id.is_none_or(|digest| text.ends_with(digest.as_str())));
        for message in [
            text.parse::<Digest>().err().map(|e| e.to_string()),
            text.parse::<Tag>().err().map(|e| e.to_string()),
            text.parse::<Platform>().err().map(|e| e.to_string()),
        ] {
            prop_assert!(message.is_none_or(|message| presentable(&message)));
        }
        if let Ok(platform) = text.parse::<Platform>() {
            prop_assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
        }
    }

    #[test]
    fn row_26_no_message_repeats_a_password(
        scheme in prop_oneof![Just(""), Just("http://"), Just("docker://")],
        password in "Z[a-z/:@!. ]{0,5}Z9Z",
        rest in near_references(),
    ) {
        let text = format!("{scheme}user:{password}@{rest}");
        // Where the rest is a digest alone, what stands before it may be a repository.
        prop_assume!(!rest.starts_with("sha") && !rest.starts_with("md5"));
        let messages = [
            text.parse::<ImageRef>().err().map(|e| e.to_string()),
            text.parse::<Repository>().err().map(|e| e.to_string()),
        ];
        for message in messages {
            let message = message.unwrap();
            prop_assert!(!message.contains("Z9Z"), "{}", message);
        }
    }
}
