//! What an address is.
//!
//! Guarantees: an IPv4 address that an IPv6 address only wraps is judged as itself. Source of the ranges: the IANA
//! special-purpose address registries; of the metadata addresses: the clouds' own documentation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who may be behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anybody on the Internet.
    Public,
    /// A network of somebody's own.
    Private,
    /// The machine itself, its link, or something that trusts whoever asks.
    Never(&'static str),
}

const METADATA: Class = Class::Never("the address of a metadata service");
const RESERVED: Class = Class::Never("a reserved address");

/// Metadata services outside the link-local range: Alibaba Cloud, Azure, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// The same over IPv6: AWS, Google Cloud.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// The address that is reached in the end: IPv4 addresses mapped, translated (NAT64) or tunnelled (6to4) by an IPv6
/// address are taken out of it.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let four = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match six.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => four(high, low),
        // "IPv4-compatible", obsolete; not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => four(high, low),
        _ => address,
    }
}

/// What a canonical address is.
pub(super) fn class(address: IpAddr) -> Class {
    match canonical(address) {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    if METADATA_V4.contains(&address) {
        return METADATA;
    }
    match address.octets() {
        [127, ..] => Class::Never("a loopback address"),
        [0, ..] => Class::Never("an unspecified address"),
        [169, 254, 169, 254] => METADATA,
        [169, 254, ..] => Class::Never("a link-local address"),
        [224..=239, ..] => Class::Never("a multicast address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18 | 19, ..] => {
            Class::Private
        }
        // Protocol assignments, documentation, the retired 6to4 relay, the last sixteenth.
        [192, 0, 0 | 2, _] | [240..=255, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            RESERVED
        }
        _ => Class::Public,
    }
}

fn class_v6(address: Ipv6Addr) -> Class {
    if METADATA_V6.contains(&address) {
        return METADATA;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Never("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Never("a loopback address"),
        [0xfe80..=0xfebf, ..] => Class::Never("a link-local address"),
        [0xff00..=0xffff, ..] => Class::Never("a multicast address"),
        // Unique local; the retired site-local range; NAT64 of a network's own.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Class::Private,
        // Only 2000::/3 is given out; Teredo, ORCHID and documentation in it are nobody's.
        [0x2001, 0 | 0x10..=0x3f | 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..]
        | [0..=0x1fff | 0x4000..=0xffff, ..] => RESERVED,
        _ => Class::Public,
    }
}
