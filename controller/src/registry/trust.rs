//! Whom registries are believed to be, and who they are told we are.
//!
//! Guarantees: a text that holds no certificate is an error and never "trust the defaults"; no message holds a part of
//! a key or certificate.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::error::error;
use crate::ports::{Certificates, RegistryError};

/// The certificates of a file in PEM form, at least one.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok();
    found.filter(|found| !found.is_empty()).ok_or_else(|| {
        error("TLSUntrusted", "the trusted certificates", "the file holds no certificates in PEM form")
    })
}

/// TLS as all registry clients speak it: the machine's trusted roots and those of the installation.
///
/// # Errors
/// The installation's certificates are no PEM.
pub(super) fn tls(extra_roots: Option<&[u8]>) -> Result<rustls::ClientConfig, RegistryError> {
    let extra = extra_roots.map(roots).transpose()?.unwrap_or_default();
    config(extra, None)
}

/// TLS of one access: it believes its own authorities, too, and shows its own certificate.
///
/// # Errors
/// What it brings is no PEM, or certificate and key do not belong together.
pub(super) fn of_access(
    extra_roots: Option<&[u8]>,
    certificates: &Certificates,
) -> Result<rustls::ClientConfig, RegistryError> {
    let unusable = |key: &str| {
        let why = format!(
            "spec.registry.certSecretRef: key {key} holds nothing in PEM form that fits; write it anew"
        );
        error("SecretUnusable", "the certificates", why)
    };
    let mut extra = extra_roots.map(roots).transpose()?.unwrap_or_default();
    if let Some(pem) = &certificates.authority {
        extra.extend(roots(pem).map_err(|_| unusable("ca.crt"))?);
    }
    let own = match &certificates.own {
        None => None,
        Some((certificate, key)) => {
            let chain = roots(certificate).map_err(|_| unusable("tls.crt"))?;
            Some((chain, PrivateKeyDer::from_pem_slice(key).map_err(|_| unusable("tls.key"))?))
        }
    };
    let shown = own.is_some();
    config(extra, own).map_err(|failed| if shown { unusable("tls.key") } else { failed })
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn config(
    extra: Vec<CertificateDer<'static>>,
    own: Option<Own>,
) -> Result<rustls::ClientConfig, RegistryError> {
    let what = "the trusted certificates";
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|failed| error("TLSUntrusted", what, failed))?;
    let builder = match rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
        Err(failed) => {
            // Nothing is trusted then: an installation that uses plain HTTP only must still start.
            tracing::warn!(error = %failed, "no trusted certificates were found; install ca-certificates");
            builder.with_root_certificates(rustls::RootCertStore::empty())
        }
    };
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|failed| error("TLSUntrusted", what, failed))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
