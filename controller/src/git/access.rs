//! How a repository is reached: address, credential, whom to believe, and the addresses that may be dialled.
//!
//! Guarantees: nothing is dialled that the host policy does not allow; a server of ssh is believed by the Secret's keys
//! alone; what is secret is in git's environment, or in files of our own that go with the visit, never on a command line.

use super::{Git, cache::Keys, trouble::error};
use crate::{
    hosts::{Filter, HostDenied, HostKind, PolicyResolver, Route},
    ports::{
        git::{GitAccess, GitError},
        signals::{SignalAccess, SignalCredential},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockkeeper_core::git::Remote;
use std::net::IpAddr;
use url::{Host, Url};

/// What every ssh is told: no configuration, no agent, no other key, nobody asked, nothing forwarded, no other program.
const SSH: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "CheckHostIP=no",
    "CanonicalizeHostname=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "ControlMaster=no",
    "ControlPath=none",
    "RequestTTY=no",
    "ConnectTimeout=20",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
];

/// How one visit reaches its repository.
pub struct Way {
    /// Configuration of git.
    pub config: Vec<(String, String)>,
    /// The one protocol that is spoken.
    pub protocol: &'static str,
    /// Kept until the visit is over.
    _keys: Option<Keys>,
}

/// What signs, as git is told.
fn signing(keys: &Keys) -> [(String, String); 2] {
    let file = keys.signing().display().to_string();
    [("gpg.format".to_owned(), "ssh".to_owned()), ("user.signingKey".to_owned(), file)]
}

impl Git {
    /// How this repository is reached.
    pub(super) async fn way(&self, access: &GitAccess, remote: &Remote) -> Result<Way, GitError> {
        let mut config = vec![("remote.origin.url".to_owned(), remote.url.clone())];
        let keys =
            (access.ssh.is_some() || access.signing.is_some()).then(|| self.caches.keys(access)).transpose();
        let keys = keys.map_err(|why| {
            error("Unreachable", format!("the keys of the Secret could not be kept in files: {why}"))
        })?;
        if let Some(keys) = keys.as_ref().filter(|_| access.signing.is_some()) {
            config.extend(signing(keys));
        }
        if self.on_disk && remote.url.starts_with("file://") {
            return Ok(Way { config, protocol: "file", _keys: keys });
        }
        let wrong = || error("HostDenied", format!("{} is no address of https or ssh", remote.url));
        match Url::parse(&remote.url).map_err(|_| wrong())? {
            url if url.scheme() == "https" => {
                config.extend(self.https(&access.http, &url).await?);
                Ok(Way { config, protocol: "https", _keys: keys })
            }
            url if url.scheme() == "ssh" => {
                let Some(keys) = keys.filter(|_| access.ssh.is_some()) else {
                    let why = "is reached over ssh, and no Secret gives a key; name one with identity and known_hosts \
                               in secretRef";
                    return Err(error("AuthFailed", format!("{} {why}", remote.url)));
                };
                let command = self.ssh(&keys, &url).await?;
                config.push(("core.sshCommand".to_owned(), command));
                config.push(("ssh.variant".to_owned(), "ssh".to_owned()));
                Ok(Way { config, protocol: "ssh", _keys: Some(keys) })
            }
            _ => Err(wrong()),
        }
    }

    async fn https(&self, access: &SignalAccess, url: &Url) -> Result<Vec<(String, String)>, GitError> {
        let mut config = Vec::new();
        let addresses = self.addresses(url).await?;
        if let Some(Host::Domain(name)) = url.host() {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let port = url.port_or_known_default().unwrap_or(443);
            config.push(("http.curloptResolve".to_owned(), format!("{name}:{port}:{}", addresses.join(","))));
        }
        for header in headers(access)? {
            config.push(("http.extraHeader".to_owned(), header));
        }
        if let Some(authority) = &access.authority {
            let file = self.caches.authority(authority).map_err(|why| {
                error("Unreachable", format!("the key ca.crt of the Secret could not be kept: {why}"))
            })?;
            config.push(("http.sslCAInfo".to_owned(), file));
        }
        Ok(config)
    }

    /// The command that git runs, and the files that it names. It dials the address that was checked, and looks for the
    /// server's key under the name that people know.
    async fn ssh(&self, keys: &Keys, url: &Url) -> Result<String, GitError> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or(22));
        // Hosts of ssh are not read as addresses by the parser: as those of https they are.
        let as_https = Url::parse(&format!("https://{host}:{port}/"))
            .map_err(|_| error("HostDenied", format!("{host} is no host; correct `url`")))?;
        let addresses = self.addresses(&as_https).await?;
        let address =
            addresses.first().ok_or_else(|| error("Unreachable", format!("{host} has no address")))?;
        let known_as =
            if port == 22 { host.to_owned() } else { format!("[{}]:{port}", host.trim_matches(['[', ']'])) };
        let own = [
            format!("HostName={address}"),
            format!("HostKeyAlias={known_as}"),
            format!("UserKnownHostsFile=\"{}\"", keys.known_hosts().display()),
        ];
        let options = SSH.iter().map(|option| (*option).to_owned()).chain(own);
        let options: Vec<String> = options.flat_map(|option| ["-o".to_owned(), quoted(&option)]).collect();
        let options = options.join(" ");
        let identity = quoted(&keys.identity().display().to_string());
        Ok(format!("ssh -F /dev/null -T -a -x -i {identity} {options}"))
    }

    /// The addresses of the host that may be dialled.
    async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, GitError> {
        let denied = |why: String| error("HostDenied", why);
        let route = self.hosts.check(HostKind::Git, url).map_err(|why| denied(why.to_string()))?;
        let name = match url.host() {
            Some(Host::Domain(name)) => name,
            Some(Host::Ipv4(address)) => return Ok(vec![address.into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![address.into()]),
            None => return Err(denied(format!("{url} has no host"))),
        };
        let filter = if route == Route::Listed { Filter::Nothing } else { Filter::Denied };
        let (hosts, lookup) = (std::sync::Arc::clone(&self.hosts), std::sync::Arc::clone(&self.lookup));
        let resolver = PolicyResolver::new(HostKind::Git, hosts, lookup, filter);
        let found = resolver.addresses(name.to_owned()).await.map_err(|why| {
            let denied = why.is::<HostDenied>();
            error(if denied { "HostDenied" } else { "Unreachable" }, format!("{name}: {why}"))
        })?;
        Ok(found.iter().map(std::net::SocketAddr::ip).collect())
    }
}

/// One word of a shell's line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What is sent with every request.
fn headers(access: &SignalAccess) -> Result<Vec<String>, GitError> {
    let mut headers: Vec<String> = Vec::new();
    match &access.credential {
        Some(SignalCredential::Bearer(token)) => headers.push(format!("Authorization: Bearer {token}")),
        Some(SignalCredential::Basic(user, password)) => {
            headers.push(format!("Authorization: Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        }
        None => {}
    }
    headers.extend(access.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if headers.iter().any(|header| header.contains(char::is_control)) {
        let why = "the Secret has a value with a control character in it; write it anew";
        return Err(error("AuthFailed", why.to_owned()));
    }
    Ok(headers)
}
