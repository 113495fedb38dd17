//! `lockkeeper edit` as people and pipelines see it: what is printed, what is written, the exit code. What an edit does
//! to a file is tested in `controller/edit`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn lockkeeper(folder: &Path, args: &[&str], input: &str) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
        .arg("edit")
        .args(args)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // A program that refuses its arguments reads nothing.
    drop(child.stdin.take().expect("a pipe").write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn image() -> String {
    format!("ghcr.io/acme/api:1.20@{DIGEST}")
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).expect("a file")
}

#[test]
fn the_difference_is_printed_and_nothing_written() {
    let before = "# head\r\nimage:\r\n  tag: 1.10 # t\r\n";
    let folder = folder(&[("values.yaml", before)]);
    let said = lockkeeper(folder.path(), &["values.yaml", "--path", ".image.tag", "--value", "1.20"], "");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let wanted = "--- a/values.yaml\n+++ b/values.yaml\n@@ -1,3 +1,3 @@\n # head\r\n image:\r\n-  tag: 1.10 # t\r\n\
                  +  tag: \"1.20\" # t\r\n";
    assert_eq!(said.out, wanted);
    assert_eq!(read(&folder, "values.yaml"), before);
}

#[test]
fn standard_input_goes_to_standard_output() {
    let here = folder(&[]);
    let args = ["-", "--path", ".image", "--value", "x:2", "--stdout"];
    let said = lockkeeper(here.path(), &args, "image: x:1 # c");
    assert_eq!((said.code, said.out.as_str()), (0, "image: x:2 # c"));
    let again = lockkeeper(here.path(), &args, &said.out);
    assert_eq!((again.code, again.out.as_str()), (0, "image: x:2 # c"));
    assert!(again.err.contains("nothing to change"), "{}", again.err);
    let two = "image: x:1\n---\nimage: x:1\n";
    let chosen = lockkeeper(here.path(), &[&args[..], &["--document", "2"]].concat(), two);
    assert_eq!(chosen.out, "image: x:1\n---\nimage: x:2\n");
    let refused = lockkeeper(here.path(), &args, two);
    assert_eq!((refused.code, refused.out.as_str()), (4, ""));
    assert!(refused.err.contains("-:1: .image matches 2 places (lines 1, 3)"), "{}", refused.err);
}

#[test]
fn write_keeps_the_mode_and_leaves_nothing_beside() {
    let folder = folder(&[("kustomization.yaml", "images:\n- name: app\n  newTag: v1\n")]);
    let file = folder.path().join("kustomization.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let args = ["kustomization.yaml", "--kustomize", "--image", &image(), "--name", "app", "--write"];
    let said = lockkeeper(folder.path(), &args, "");
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    let wanted = format!(
        "images:\n- name: app\n  newName: ghcr.io/acme/api\n  newTag: \"1.20\"\n  digest: {DIGEST}\n"
    );
    assert_eq!(read(&folder, "kustomization.yaml"), wanted);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let again = lockkeeper(folder.path(), &args, "");
    assert!(again.code == 0 && again.err.contains("nothing to change"), "{}", again.err);
}

#[test]
fn markers_are_found_in_folders_and_all_files_are_written_or_none() {
    let marked = "image: ghcr.io/acme/api:1.0 # {\"$imagepolicy\": \"apps:api\"}\n";
    let broken = "a: {{ .x }}\nimage: a # {\"$imagepolicy\": \"apps:api\"}\n";
    let files = [
        ("a/one.yaml", marked),
        ("a/b/two.yml", marked),
        ("a/template.yaml", "a: {{ no marker, not read }}"),
        ("a/.git/three.yaml", marked),
        ("c/bad.yaml", broken),
    ];
    let here = folder(&files);
    let (pin, after) = (image(), format!("image: {} # {{\"$imagepolicy\": \"apps:api\"}}\n", image()));
    let args = ["--marker", "apps:api", "--image", &pin, "--write"];
    let refused = lockkeeper(here.path(), &[&["a", "c"], &args[..]].concat(), "");
    assert_eq!(refused.code, 4);
    assert!(refused.err.contains("c/bad.yaml:1: is a template"), "{}", refused.err);
    assert_eq!(read(&here, "a/one.yaml"), marked);
    let said = lockkeeper(here.path(), &[&["a"], &args[..]].concat(), "");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!((read(&here, "a/one.yaml"), read(&here, "a/b/two.yml")), (after.clone(), after));
    assert_eq!(read(&here, "a/.git/three.yaml"), marked);
    let none = lockkeeper(here.path(), &["a", "--marker", "apps:web", "--image", &pin], "");
    assert_eq!((none.code, none.out.as_str()), (3, ""), "{}", none.err);
}

#[test]
fn a_policy_s_git_targets_are_edited_in_a_checkout() {
    let edits = "[{kustomize: {path: clusters/prod}}, {helmValues: {path: values.yaml, image: .image}}, \
                 {marker: {path: marked}}]";
    let policy = |edits: &str| {
        format!(
            "apiVersion: lockkeeper.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: api, namespace: apps}}\nspec:\n  \
             image: ghcr.io/acme/api\n  pullFrom: [harbor.example.com/acme/api]\n  select: {{semver: {{range: '*'}}}}\n  \
             stages:\n  - name: dev\n    targets: [{{pods: {{selector: {{matchLabels: {{a: b}}}}}}}}]\n  - name: prod\n    \
             targets:\n    - git: {{url: 'https://git.example.com/x', branch: main, edits: {edits}}}\n      \
             observe: {{pods: {{selector: {{matchLabels: {{a: b}}}}}}}}\n"
        )
    };
    let files = [
        ("clusters/prod/kustomization.yaml", "images:\n- name: ghcr.io/acme/api\n  newTag: v1\n"),
        ("values.yaml", "image: {repository: harbor.example.com/acme/api, tag: v1, digest: \"\"}\n"),
        ("marked/x.yaml", "image: harbor.example.com/acme/api:v1 # {\"$imagepolicy\": \"apps:api\"}\n"),
        ("foreign.yaml", "image: evil.example.com/api:v1 # {\"$imagepolicy\": \"apps:api\"}\n"),
    ];
    let here = folder(&files);
    fs::write(here.path().join("policy.yaml"), policy(edits)).unwrap();
    let pin = image();
    let args = ["-f", "policy.yaml", "--image", &pin, "--write"];
    let said = lockkeeper(here.path(), &[&args[..], &["--stage", "prod"]].concat(), "");
    assert_eq!(said.code, 0, "{}", said.err);
    let kustomization =
        format!("images:\n- name: ghcr.io/acme/api\n  newTag: \"1.20\"\n  digest: {DIGEST}\n");
    assert_eq!(read(&here, "clusters/prod/kustomization.yaml"), kustomization);
    let values =
        format!("image: {{repository: harbor.example.com/acme/api, tag: \"1.20\", digest: \"{DIGEST}\"}}\n");
    assert_eq!(read(&here, "values.yaml"), values);
    let marked =
        format!("image: harbor.example.com/acme/api:1.20@{DIGEST} # {{\"$imagepolicy\": \"apps:api\"}}\n");
    assert_eq!(read(&here, "marked/x.yaml"), marked);

    // The stage that has no git target: its policy's markers, and a repository that is none of the policy's.
    let foreign = lockkeeper(
        here.path(),
        &["-f", "policy.yaml", "--stage", "dev", "--image", &pin, "foreign.yaml"],
        "",
    );
    assert!(foreign.code == 4 && foreign.err.contains("names another repository"), "{}", foreign.err);
    for (image, part) in [
        ("nginx:1@sha256:00", "64"),
        ("ghcr.io/acme/api:1.20", "pins a digest"),
        (&format!("nginx:1@{DIGEST}"), "none of the policy's repositories"),
    ] {
        let said = lockkeeper(here.path(), &["-f", "policy.yaml", "--image", image], "");
        assert!(said.code == 2 && said.err.contains(part), "{image}: {}", said.err);
    }
    for (edits, part) in [
        ("[{marker: {path: ../..}}]", "leads out"),
        ("[{marker: {path: /etc}}]", "is not relative"),
        ("[{marker: {path: a/.git/config}}]", "leads out"),
        ("[{marker: {path: 'C:\\x'}}]", "is not relative"),
        ("[{marker: {pth: a}}]", "\"pth\""),
        ("[{sed: {path: a}}]", "\"sed\""),
    ] {
        fs::write(here.path().join("policy.yaml"), policy(edits)).unwrap();
        let said = lockkeeper(here.path(), &args, "");
        assert!(said.code == 2 && said.err.contains(part), "{edits}: {}", said.err);
    }
}

#[test]
fn row_32_symbolic_links_are_refused_and_not_searched() {
    let marked = "image: ghcr.io/acme/api:1.0 # {\"$imagepolicy\": \"apps:api\"}\n";
    let here = folder(&[("real.yaml", marked), ("a/x.yaml", marked)]);
    symlink(here.path().join("real.yaml"), here.path().join("link.yaml")).unwrap();
    symlink(here.path().join("real.yaml"), here.path().join("a/link.yaml")).unwrap();
    let pin = image();
    let args = ["--marker", "apps:api", "--image", &pin, "--write"];
    let said = lockkeeper(here.path(), &[&["link.yaml"], &args[..]].concat(), "");
    assert!(said.code == 4 && said.err.contains("link.yaml: is a symbolic link"), "{}", said.err);
    assert_eq!(lockkeeper(here.path(), &[&["a"], &args[..]].concat(), "").code, 0);
    assert_eq!(read(&here, "real.yaml"), marked);
    assert!(fs::symlink_metadata(here.path().join("a/link.yaml")).unwrap().is_symlink());
}

#[test]
fn wrong_arguments_end_in_2() {
    let here = folder(&[("a.yaml", "a: x\n")]);
    for (args, part) in [
        (&["a.yaml"][..], "required"),
        (&["a.yaml", "--path", ".a"], "--value"),
        (&["a.yaml", "--path", ".a[", "--value", "x"], "character 4"),
        (&["a.yaml", "--kustomize"], "--image"),
        (&["a.yaml", "--kustomize", "--image", "UPPER:1"], "lower case"),
        (&["a.yaml", "--kustomize", "--image", "user:s3cret@host/a:1"], "***"),
        (&["a.yaml", "--marker", "name", "--image", "a:1"], "namespace:name"),
        (&["a.yaml", "--path", ".a", "--value", "x", "--document", "0"], "--document"),
        (&["-", "--path", ".a", "--value", "x", "--write"], "standard input"),
        (&["a.yaml", "a.yaml", "--path", ".a", "--value", "x", "--stdout"], "one file"),
        (&["a.yaml", "--path", ".a", "--value", "x", "--stdout", "--write"], "cannot be used with"),
        (&["gone.yaml", "--path", ".a", "--value", "x"], "gone.yaml cannot be read"),
        (&[".", "--path", ".a", "--value", "x"], "is a folder"),
        (&["a.yaml", "--path", ".a", "--value", "x", "--image", "a:1"], "cannot be used with"),
    ] {
        let said = lockkeeper(here.path(), args, "");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}: {}", said.err);
        assert!(said.err.contains(part) && !said.err.contains("s3cret"), "{args:?}: {}", said.err);
    }
    assert_eq!(read(&here, "a.yaml"), "a: x\n");
}
