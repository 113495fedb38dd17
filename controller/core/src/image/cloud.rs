//! Registries of clouds, told by their host names alone.
//!
//! Guarantees: a host is one cloud's or nobody's; region and account are plain words that may stand in a host name. May
//! not: name an endpoint, or ask anybody.

use super::{Repository, shown};

/// Whose identity opens a registry: `spec.registry.provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Amazon ECR, private and public.
    Aws,
    /// Google Artifact Registry, and what answers at gcr.io.
    Gcp,
    /// Azure Container Registry.
    Azure,
}

/// A registry of a cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudRegistry {
    /// A private registry of Amazon ECR.
    Ecr {
        /// Such as `eu-west-1`.
        region: String,
        /// The end of the partition's host names.
        domain: &'static str,
        /// The partition, as ARNs name it.
        partition: &'static str,
        /// With endpoints by the rules of FIPS 140.
        fips: bool,
    },
    /// `public.ecr.aws`.
    EcrPublic,
    /// Google's.
    Google,
    /// Azure's.
    Azure {
        /// The end of its host names: `io`, `cn` or `us`.
        cloud: &'static str,
    },
}

impl Provider {
    /// All, with the words of the field.
    pub const ALL: [(&'static str, Self); 3] =
        [("aws", Self::Aws), ("gcp", Self::Gcp), ("azure", Self::Azure)];

    /// The provider of a word of the field; none is for `generic`, and for what is no word of it.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, provider)| provider)
    }

    /// As the field has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
        }
    }

    /// What the registry of a repository is to this provider.
    ///
    /// # Errors
    /// It is none of this provider's; the text says what those look like.
    pub fn registry(self, repository: &Repository) -> Result<CloudRegistry, String> {
        let host = repository.registry();
        let (found, alike) = match self {
            Self::Aws => (
                ecr(host),
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com (or amazonaws.com.cn, amazonaws.eu) or public.ecr.aws",
            ),
            Self::Gcp => (google(host), "europe-docker.pkg.dev or eu.gcr.io"),
            Self::Azure => (azure(host), "example.azurecr.io (or azurecr.cn, azurecr.us)"),
        };
        found.ok_or_else(|| {
            format!(
                "does not fit to {}, which is no registry of {}: those are named as {alike}",
                shown(host),
                self.word()
            )
        })
    }
}

fn ecr(host: &str) -> Option<CloudRegistry> {
    if host == "public.ecr.aws" {
        return Some(CloudRegistry::EcrPublic);
    }
    let (account, rest) = host.split_once('.')?;
    let of_an_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let (fips, rest) = match rest.strip_prefix("dkr.ecr-fips.") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("dkr.ecr.")?),
    };
    let (region, domain) = rest.split_once('.')?;
    let (domain, partition) = match domain {
        "amazonaws.com" if region.starts_with("us-gov-") => ("amazonaws.com", "aws-us-gov"),
        "amazonaws.com" => ("amazonaws.com", "aws"),
        "amazonaws.com.cn" => ("amazonaws.com.cn", "aws-cn"),
        "amazonaws.eu" => ("amazonaws.eu", "aws-eusc"),
        _ => return None,
    };
    let found = CloudRegistry::Ecr { region: region.to_owned(), domain, partition, fips };
    (of_an_account && is_label(region)).then_some(found)
}

fn google(host: &str) -> Option<CloudRegistry> {
    let within = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|name| name.strip_suffix('.').is_some_and(is_label))
    };
    (host == "gcr.io" || within("gcr.io") || within("pkg.dev")).then_some(CloudRegistry::Google)
}

fn azure(host: &str) -> Option<CloudRegistry> {
    let (name, cloud) = host.split_once(".azurecr.")?;
    let cloud = ["io", "cn", "us"].into_iter().find(|known| *known == cloud)?;
    is_label(name).then_some(CloudRegistry::Azure { cloud })
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(provider: Provider, image: &str) -> Result<CloudRegistry, String> {
        provider.registry(&image.parse().unwrap())
    }

    #[test]
    fn hosts_of_amazon_tell_region_and_partition() {
        for (host, wanted) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", ("eu-west-1", "amazonaws.com", "aws", false)),
            (
                "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
                ("us-east-1", "amazonaws.com", "aws", true),
            ),
            (
                "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com",
                ("us-gov-west-1", "amazonaws.com", "aws-us-gov", false),
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                ("cn-north-1", "amazonaws.com.cn", "aws-cn", false),
            ),
            (
                "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
                ("eusc-de-east-1", "amazonaws.eu", "aws-eusc", false),
            ),
        ] {
            let (region, domain, partition, fips) = wanted;
            let wanted = CloudRegistry::Ecr { region: region.into(), domain, partition, fips };
            assert_eq!(of(Provider::Aws, &format!("{host}/team/app")), Ok(wanted), "{host}");
        }
        assert_eq!(of(Provider::Aws, "public.ecr.aws/nginx/nginx"), Ok(CloudRegistry::EcrPublic));
    }

    #[test]
    fn google_and_azure_are_told() {
        for host in ["gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev"] {
            assert_eq!(of(Provider::Gcp, &format!("{host}/p/app")), Ok(CloudRegistry::Google), "{host}");
        }
        for (host, cloud) in
            [("shop.azurecr.io", "io"), ("shop.azurecr.cn", "cn"), ("shop-a1.azurecr.us", "us")]
        {
            assert_eq!(
                of(Provider::Azure, &format!("{host}/app")),
                Ok(CloudRegistry::Azure { cloud }),
                "{host}"
            );
        }
    }

    #[test]
    fn whoever_only_looks_like_a_cloud_is_refused() {
        for (provider, host) in [
            (Provider::Aws, "docker.io"),
            (Provider::Aws, "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example"),
            (Provider::Aws, "evil.example.dkr.ecr.eu-west-1.amazonaws.com"),
            (Provider::Aws, "12345678901.dkr.ecr.eu-west-1.amazonaws.com"),
            (Provider::Aws, "123456789012.dkr.ecr.evil.example.amazonaws.com"),
            (Provider::Aws, "123456789012.dkr.ecr.eu-west-1.amazonaws.com:8443"),
            (Provider::Aws, "public.ecr.aws.evil.example"),
            (Provider::Gcp, "evilgcr.io"),
            (Provider::Gcp, "a.b.pkg.dev"),
            (Provider::Gcp, "pkg.dev.evil.example"),
            (Provider::Gcp, "pkg.dev"),
            (Provider::Azure, "azurecr.io"),
            (Provider::Azure, "evil.example.azurecr.io"),
            (Provider::Azure, "shop.azurecr.io.evil.example"),
            (Provider::Azure, "shop.azurecr.io:5000"),
        ] {
            let error = of(provider, &format!("{host}/app")).unwrap_err();
            assert!(error.contains(host) && error.contains(provider.word()), "{error}");
        }
    }
}
