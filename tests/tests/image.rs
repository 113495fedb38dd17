//! The image that `make image` makes: what is in it, that it is the same every time, and that a registry has it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::{Test, run};
use serde_json::{Value, json};

/// The least that is a static program: a header without segments. What is in the binary is its own matter.
fn static_binary(folder: &Path) -> Result<String> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    let file = folder.join("lockkeeper");
    std::fs::write(&file, bytes)?;
    Ok(file.display().to_string())
}

fn image(args: &[&str]) -> Result<Output> {
    Ok(std::process::Command::new(env!("CARGO_BIN_EXE_image")).args(args).output()?)
}

fn done(args: &[&str]) -> Result<String> {
    let output = image(args)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Every file below a folder with its bytes.
fn files(folder: &Path, below: &str, found: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files(&entry.path(), &name, found)?;
        } else {
            found.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

#[test]
fn two_images_of_the_same_files_are_equal_to_the_bit() {
    let test = || -> Result<()> {
        let folder = tempfile::tempdir()?;
        let binary = static_binary(folder.path())?;
        let mut made = Vec::new();
        for name in ["one", "two"] {
            let layout = folder.path().join(name);
            done(&["--binary", &binary, "--layout", &layout.display().to_string()])?;
            let mut found = BTreeMap::new();
            files(&layout, "", &mut found)?;
            made.push(found);
        }
        // index, manifest, config, two layers; the bill's manifest, its empty config and itself; two files of the layout.
        ensure!(made[0].len() == 10, "{:?}", made[0].keys());
        ensure!(made[0] == made[1], "the second build is another");
        // And it is the files that make it: another binary is another image.
        std::fs::write(&binary, [std::fs::read(&binary)?, b"more".to_vec()].concat())?;
        let layout = folder.path().join("one");
        done(&["--binary", &binary, "--layout", &layout.display().to_string()])?;
        let mut found = BTreeMap::new();
        files(&layout, "", &mut found)?;
        ensure!(found.len() == 10 && found != made[1], "nothing is left of the image before");
        Ok(())
    };
    test().unwrap_or_else(|error| panic!("{error:#}"));
}

/// Where a program of this machine is.
fn on_path(program: &str) -> Result<String> {
    let path = std::env::var_os("PATH").context("no PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    Ok(found.with_context(|| format!("{program} is not installed"))?.display().to_string())
}

/// The root folder that the layers of a layout make.
fn unpacked(layout: &Path, root: &Path) -> Result<()> {
    let blob = |digest: &Value| -> Result<Vec<u8>> {
        let hex = digest.as_str().and_then(|digest| digest.strip_prefix("sha256:")).context("no digest")?;
        Ok(std::fs::read(layout.join("blobs/sha256").join(hex))?)
    };
    let json = |bytes: Vec<u8>| -> Result<Value> { Ok(serde_json::from_slice(&bytes)?) };
    let outer = json(std::fs::read(layout.join("index.json"))?)?;
    let index = json(blob(&outer["manifests"][0]["digest"])?)?;
    let manifest = json(blob(&index["manifests"][0]["digest"])?)?;
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        let bytes = blob(&layer["digest"])?;
        tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice())).unpack(root)?;
    }
    Ok(())
}

#[test]
fn git_and_what_it_runs_work_in_it_as_nobody() {
    let test = || -> Result<()> {
        let folder = tempfile::tempdir()?;
        let binary = static_binary(folder.path())?;
        let exec = std::process::Command::new("git").arg("--exec-path").output().context("git is needed")?;
        let https = format!("{}/git-remote-https", String::from_utf8(exec.stdout)?.trim());
        let layout = folder.path().join("layout");
        let place = layout.display().to_string();
        let mut args = vec!["--binary", &binary, "--layout", &place];
        let git = on_path("git")?;
        // Where git looks for it.
        for program in [&git, &https, "/bin/sh"] {
            args.extend(["--program", program]);
        }
        let said = done(&args)?;
        ensure!(done(&args)? == said, "the second image is another");

        let root = folder.path().join("root");
        unpacked(&layout, &root)?;
        // A container has this device; a file that everybody may write is enough here.
        std::fs::create_dir(root.join("dev"))?;
        let null = root.join("dev/null");
        std::fs::write(&null, "")?;
        std::fs::set_permissions(&null, std::fs::Permissions::from_mode(0o666))?;
        let call = |arguments: &[&str]| -> Result<Output> {
            let mut command = std::process::Command::new("chroot");
            command.arg("--userspec=65534:65534").arg(&root).args(arguments);
            Ok(command.output()?)
        };
        let hashed = call(&["/bin/sh", "-c", "echo lockkeeper | git hash-object --stdin"])?;
        ensure!(hashed.stdout.len() == 41 && hashed.status.success(), "{hashed:?}");
        // Its helper speaks TLS to a port at which nobody listens.
        let asked = call(&["git", "ls-remote", "https://127.0.0.1:1/a.git"])?;
        let complaint = String::from_utf8_lossy(&asked.stderr).into_owned();
        ensure!(complaint.contains("unable to access") && complaint.contains("connect"), "{complaint}");

        let args = ["--binary", &binary, "--layout", &place, "--program", "bin/sh"];
        let refused = String::from_utf8(image(&args)?.stderr)?;
        ensure!(refused.contains("bin/sh: a program is named by its absolute path"), "{refused}");
        Ok(())
    };
    test().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn what_could_not_run_in_it_is_refused() {
    let test = || -> Result<()> {
        let folder = tempfile::tempdir()?;
        let layout = folder.path().join("layout").display().to_string();
        // The binary of these tests is linked to the libraries of this machine.
        let dynamic = program()?.display().to_string();
        let refused = image(&["--binary", &dynamic, "--layout", &layout])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && said.contains("the binary needs the loader /lib"), "{said}");
        let binary = static_binary(folder.path())?;
        let refused = image(&["--binary", &binary, "--layout", &layout, "--roots", &binary])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && said.contains("the roots hold no certificate"), "{said}");
        std::fs::write(&binary, "#!/bin/sh\n")?;
        let refused = image(&["--binary", &binary, "--layout", &layout])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && said.contains("no 64-bit little-endian ELF file"), "{said}");
        ensure!(!Path::new(&layout).exists(), "nothing is written");
        Ok(())
    };
    test().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_registry_has_the_image_and_its_bill_of_materials() {
    run("a_registry_has_the_image_and_its_bill_of_materials", async |test: &Test| -> Result<()> {
        let folder = tempfile::tempdir()?;
        let binary = static_binary(folder.path())?;
        let layout = folder.path().join("layout").display().to_string();
        let registry = test.bed.registry();
        let target = format!("{}/platform/lockkeeper:1.2.3", registry.host());
        let args = ["--binary", &binary, "--layout", &layout, "--push", &target];
        let said = done(&args)?;
        // Once more is no more.
        ensure!(done(&args)? == said);
        let path = "platform/lockkeeper";
        let index = registry.manifest(path, "1.2.3").await?.context("no image under the tag")?;
        ensure!(said.contains(&format!("pushed {target}@{}", index.digest)), "{said}");

        let index_json: Value = serde_json::from_slice(&index.bytes)?;
        let digest = index_json["manifests"][0]["digest"].as_str().context("no manifest")?;
        let manifest = registry.manifest(path, digest).await?.context("the manifest is not there")?;
        let manifest: Value = serde_json::from_slice(&manifest.bytes)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let config = registry.blob(path, &text(&manifest["config"]["digest"])).await?;
        let config: Value = serde_json::from_slice(&config)?;
        ensure!(
            config["config"]["User"] == "65534:65534" && config["config"]["Cmd"] == json!(["run"]),
            "{config}"
        );
        ensure!(config["config"]["Entrypoint"] == json!(["/usr/local/bin/lockkeeper"]), "{config}");

        let mut entries = Vec::new();
        for (number, layer) in manifest["layers"].as_array().into_iter().flatten().enumerate() {
            let packed = registry.blob(path, &text(&layer["digest"])).await?;
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes)?;
            ensure!(config["rootfs"]["diff_ids"][number] == e2e::image::digest_of(&bytes), "another layer");
            for entry in tar::Archive::new(bytes.as_slice()).entries()? {
                let entry = entry?;
                ensure!(entry.header().uid()? == 0 && entry.header().mtime()? == 0);
                entries.push((entry.path()?.display().to_string(), entry.header().mode()? & 0o7777));
            }
        }
        let wanted = [
            ("etc/group", 0o644),
            ("etc/nsswitch.conf", 0o644),
            ("etc/passwd", 0o644),
            ("etc/ssl/certs/ca-certificates.crt", 0o644),
            ("usr/local/bin/lockkeeper", 0o755),
        ];
        // No shell, no library, nothing with other rights.
        ensure!(entries == wanted.map(|(path, mode)| (path.to_owned(), mode)), "{entries:?}");

        let referring = registry.referrers(path, &index.digest).await?;
        ensure!(referring.len() == 1, "{referring:?}");
        ensure!(referring[0]["artifactType"] == "application/vnd.cyclonedx+json", "{referring:?}");
        let bill = registry.manifest(path, &text(&referring[0]["digest"])).await?.context("no bill")?;
        let bill: Value = serde_json::from_slice(&bill.bytes)?;
        ensure!(bill["subject"]["digest"] == index.digest.as_str(), "{bill}");
        let bill = registry.blob(path, &text(&bill["layers"][0]["digest"])).await?;
        let bill: Value = serde_json::from_slice(&bill)?;
        let parts: Vec<String> =
            bill["components"].as_array().into_iter().flatten().map(|part| text(&part["name"])).collect();
        for part in ["lockkeeper-core", "kube-client", "rustls", "aws-lc-rs"] {
            ensure!(parts.iter().any(|name| name == part), "{part} is not in the bill: {parts:?}");
        }
        ensure!(!parts.iter().any(|name| name == "e2e" || name == "flate2"), "what is not linked: {parts:?}");
        Ok(())
    });
}
