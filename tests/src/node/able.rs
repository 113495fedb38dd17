//! Whether this machine can run a real node.

use std::path::Path;

/// `amd64` or `arm64`, as containerd calls this machine.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The error says what is missing.
pub fn check() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("kubelet and containerd need root; run the tests as root".to_owned());
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.contains("overlay") {
        return Err("the kernel has no overlay filesystem; load the module 'overlay'".to_owned());
    }
    if !Path::new("/dev/kmsg").exists() {
        return Err("/dev/kmsg is missing, which the kubelet reads; run outside of a container, or give it the device".to_owned());
    }
    cgroups()
}

/// The kubelet makes a cgroup per container: they must be there, and this process must be allowed to.
fn cgroups() -> Result<(), String> {
    let root = Path::new("/sys/fs/cgroup");
    let unified = root.join("cgroup.controllers");
    let place = if unified.exists() {
        let controllers = std::fs::read_to_string(&unified).unwrap_or_default();
        for needed in ["cpu", "memory", "pids"] {
            if !controllers.split_whitespace().any(|name| name == needed) {
                return Err(format!("the cgroup controller {needed:?} is missing in {}", unified.display()));
            }
        }
        root.to_owned()
    } else {
        root.join("memory")
    };
    let probe = place.join(format!("lockkeeper-probe-{}", std::process::id()));
    std::fs::create_dir(&probe)
        .and_then(|()| std::fs::remove_dir(&probe))
        .map_err(|error| format!("no cgroup can be made below {}: {error}", place.display()))
}
