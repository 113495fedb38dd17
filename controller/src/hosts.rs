//! Which hosts may be dialled: one policy for every outgoing connection, by kind.
//!
//! Guarantees: loopback, link-local, unspecified, multicast, reserved and metadata addresses, and the addresses the
//! installation names (the API server's), are never dialled unless the installation lists them; private ranges are
//! dialled unless the installation denies them. What is checked is the address that is dialled, not the name: a name
//! is resolved once per connection, its addresses are filtered, and the connection uses what is left (so a name that
//! answers differently the next time gains nothing). A spelling such as `0x7f.1`, `2130706433` or
//! `[::ffff:127.0.0.1]` is the address it means.
//! Assumes: every client is built with [`PolicyResolver`], follows no redirect by itself, uses no proxy, and asks
//! [`HostPolicy::check`] before each request, because addresses in a URL never reach a resolver.
//! May not: dial, or read configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use lockkeeper_core::image::shown;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

mod address;

pub(crate) use address::Class;
use address::{canonical, class};

/// What a connection is for. It is named in messages; all kinds obey the same list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// An image registry, the realm it takes tokens from, or where it redirects to.
    Registry,
    /// A proxy through which one is reached.
    Proxy,
    /// A server of repositories.
    Git,
    /// A server that signals are measured by.
    Signal,
    /// Where the keys are published that senders of hooks sign with.
    Keys,
    /// Who tells people outside of the cluster.
    Notify,
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registry => "registry",
            Self::Proxy => "proxy",
            Self::Git => "git",
            Self::Signal => "signal",
            Self::Keys => "key",
            Self::Notify => "notify",
        })
    }
}

/// What the installation says about hosts.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    allowed: BTreeSet<Listed>,
    never: BTreeSet<IpAddr>,
    deny_private: bool,
    /// Tests give loopback addresses the part of public and private ones.
    class: fn(IpAddr) -> Class,
}

impl Default for HostPolicy {
    /// Nothing listed, private ranges allowed.
    fn default() -> Self {
        Self { allowed: BTreeSet::new(), never: BTreeSet::new(), deny_private: false, class }
    }
}

/// One entry of `--allow-host`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    host: Named,
    /// None: every port.
    port: Option<u16>,
}

/// A host in the one spelling that is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// Lower case, punycode, without a trailing dot.
    Domain(String),
    /// IPv4 addresses inside IPv6 ones are taken out.
    Address(IpAddr),
}

/// An entry of `--allow-host` that is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--allow-host {value} is no host: {why}; write a host name or an address, with an optional port, such as \
     registry.example.com:5000 or [::1]:5000"
)]
pub struct HostListError {
    /// As shown to people.
    pub value: String,
    /// What is wrong with it.
    pub why: String,
}

/// A host that may not be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {kind} host {host} {why}, and such hosts are dialled only where the installation lists them; use another \
     host, or add --allow-host {host} to the controller's flags"
)]
pub struct HostDenied {
    /// What it was to be dialled for.
    pub kind: HostKind,
    /// `host` or `host:port`, as in the URL.
    pub host: String,
    /// `is …` or `resolves to …`, with the kind of address, never the address: a name's addresses are nobody's
    /// business.
    pub why: String,
}

/// How a host that may be dialled is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The installation lists this host: its addresses are not filtered.
    Listed,
    /// Its addresses are filtered when they are known.
    Checked,
}

impl HostPolicy {
    /// A policy from the installation's flags: `allowed` are `host[:port]`s (without a port, all ports). An address
    /// listed without a port may also be reached by names.
    ///
    /// # Errors
    /// An entry that is no host.
    pub fn new<S: AsRef<str>>(
        allowed: impl IntoIterator<Item = S>,
        deny_private: bool,
    ) -> Result<Self, HostListError> {
        let allowed =
            allowed.into_iter().map(|text| Listed::parse(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { allowed, deny_private, ..Self::default() })
    }

    #[cfg(test)]
    pub(crate) fn with_classes(self, class: fn(IpAddr) -> Class) -> Self {
        Self { class, ..self }
    }

    /// The same policy, which never dials these addresses either unless they are listed: the API server's.
    #[must_use]
    pub fn and_never(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.never.extend(addresses.into_iter().map(canonical));
        self
    }

    /// Whether the host of this URL may be dialled, as far as the URL tells; a name's addresses are judged by
    /// [`PolicyResolver`] when the connection is made.
    ///
    /// # Errors
    /// The host is an address that may not be dialled, or there is no host.
    pub fn check(&self, kind: HostKind, url: &Url) -> Result<Route, HostDenied> {
        self.judge(kind, url, false)
    }

    /// The same, with private addresses refused, too: for what must not reach a network of somebody's own unless
    /// the installation lists the host.
    ///
    /// # Errors
    /// As [`HostPolicy::check`], and for a private address.
    pub fn check_public(&self, kind: HostKind, url: &Url) -> Result<Route, HostDenied> {
        self.judge(kind, url, true)
    }

    fn judge(&self, kind: HostKind, url: &Url, only_public: bool) -> Result<Route, HostDenied> {
        let Some(host) = url.host() else {
            return Err(HostDenied { kind, host: String::from("\"\""), why: "is empty".into() });
        };
        let named = Named::from(&host);
        if self.lists(&named, url.port_or_known_default()) {
            return Ok(Route::Listed);
        }
        if let Named::Address(address) = named
            && let Some(what) = self.refuses(address, only_public)
        {
            return Err(HostDenied { kind, host: authority(url), why: format!("is {what}") });
        }
        Ok(Route::Checked)
    }

    fn lists(&self, host: &Named, port: Option<u16>) -> bool {
        let entry = |port| Listed { host: host.clone(), port };
        self.allowed.contains(&entry(None)) || (port.is_some() && self.allowed.contains(&entry(port)))
    }

    /// What an address is, if it may not be dialled.
    fn refuses(&self, address: IpAddr, only_public: bool) -> Option<&'static str> {
        let address = canonical(address);
        if self.lists(&Named::Address(address), None) {
            return None;
        }
        if self.never.contains(&address) {
            return Some("the API server's address");
        }
        match (self.class)(address) {
            Class::Public => None,
            Class::Private if self.deny_private => {
                Some("a private address, and this installation denies private addresses")
            }
            Class::Private => only_public.then_some("a private address"),
            Class::Never(what) => Some(what),
        }
    }
}

impl Listed {
    fn parse(text: &str) -> Result<Self, HostListError> {
        let fail = |why: &str| HostListError { value: shown(text), why: why.to_owned() };
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "/@?#*,\\".contains(c)) {
            return Err(fail("it is empty, or has a scheme, path, user, wildcard, comma or space"));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: Named::Address(canonical(address)), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or_else(|| fail("its port is no number from 1 to 65535"))?))
            }
            _ => (text, None),
        };
        let host = Host::parse(host).map_err(|error| fail(&error.to_string()))?;
        Ok(Self { host: Named::from(&host), port })
    }
}

impl<S: AsRef<str>> From<&Host<S>> for Named {
    fn from(host: &Host<S>) -> Self {
        match host {
            Host::Domain(name) => Self::Domain(name.as_ref().trim_end_matches('.').to_ascii_lowercase()),
            Host::Ipv4(address) => Self::Address((*address).into()),
            Host::Ipv6(address) => Self::Address(canonical((*address).into())),
        }
    }
}

/// `host` or `host:port` of a URL, as it is dialled.
#[must_use]
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Turns names into addresses.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a name.
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A resolver that hands out only addresses that may be dialled.
#[derive(Clone)]
pub struct PolicyResolver {
    kind: HostKind,
    policy: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    filter: Filter,
}

/// Which addresses a resolver leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// None: for hosts that the installation lists.
    Nothing,
    /// Those that the policy denies.
    Denied,
    /// Those, and all private ones.
    AllButPublic,
}

impl PolicyResolver {
    /// A resolver of one kind of connection.
    #[must_use]
    pub fn new(kind: HostKind, policy: Arc<HostPolicy>, lookup: Arc<dyn Lookup>, filter: Filter) -> Self {
        Self { kind, policy, lookup, filter }
    }

    /// The addresses of a name that may be dialled, for programs that dial by themselves.
    ///
    /// # Errors
    /// None of them may be, or there is none.
    pub async fn addresses(
        self,
        name: String,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.lookup.lookup(name.clone()).await?;
        let mut refused = None;
        let mut left = Vec::new();
        for address in found {
            let refusal = match self.filter {
                Filter::Nothing => None,
                Filter::Denied => self.policy.refuses(address, false),
                Filter::AllButPublic => self.policy.refuses(address, true),
            };
            match refusal {
                None => left.push(SocketAddr::new(address, 0)),
                Some(what) => refused = Some(what),
            }
        }
        match (left.is_empty(), refused) {
            (true, Some(what)) => {
                let why = format!("resolves to {what}");
                Err(Box::new(HostDenied { kind: self.kind, host: name, why }))
            }
            (true, None) => Err(Box::new(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
            (false, _) => Ok(left),
        }
    }
}

impl Resolve for PolicyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (this, name) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let addresses: Addrs = Box::new(this.addresses(name).await?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
