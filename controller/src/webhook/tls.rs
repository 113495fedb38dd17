//! TLS before the webhook: connections are accepted with the certificate that counts at that moment.
//!
//! Guarantees: a rotated certificate is shown without a restart; a caller that is slow to shake hands holds up no other,
//! and at most [`MOST`] of them are waited for; without a certificate no connection comes about.

use crate::ports::birth::{Births, Serving};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Handshakes at once.
const MOST: usize = 256;
/// The longest that one may take.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// After an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

type Shaken = Option<(TlsStream<TcpStream>, SocketAddr)>;

/// Accepts TLS connections.
pub struct Listener {
    inner: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Shaken>,
}

impl Listener {
    /// Over a listener, with the certificates of `births`.
    pub fn new(inner: TcpListener, births: Arc<dyn Births>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shown { births, known: Mutex::default() }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { inner, acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: JoinSet::new() })
    }

    fn shake(&mut self, stream: TcpStream, address: SocketAddr) {
        let acceptor = self.acceptor.clone();
        self.handshakes.spawn(async move {
            match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Some((stream, address)),
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "a TLS handshake with the webhook failed");
                    None
                }
                Err(_) => None,
            }
        });
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(shaken) = self.handshakes.join_next() => {
                    // A panic in a handshake is that connection's end.
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
                accepted = self.inner.accept(), if self.handshakes.len() < MOST => match accepted {
                    Ok((stream, address)) => self.shake(stream, address),
                    Err(error) => {
                        tracing::warn!(%error, "the webhook could not accept a connection");
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// The certificate that is shown: read anew when it is another one.
struct Shown {
    births: Arc<dyn Births>,
    known: Mutex<Option<(Arc<Serving>, Arc<CertifiedKey>)>>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let serving = self.births.serving()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, certified)) = &*known
            && *of == serving
        {
            return Some(Arc::clone(certified));
        }
        match certified(&serving) {
            Ok(certified) => {
                let certified = Arc::new(certified);
                *known = Some((serving, Arc::clone(&certified)));
                Some(certified)
            }
            Err(why) => {
                tracing::warn!(
                    why,
                    "the webhook's certificate cannot be used; delete its Secret, and it is made anew"
                );
                None
            }
        }
    }
}

/// The error says what is wrong, never what is in it.
fn certified(serving: &Serving) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(serving.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is no PEM: {error}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(serving.key.as_bytes()).map_err(|_| "the key is no PEM".to_owned())?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| format!("certificate and key do not go together: {error}"))?;
    Ok(certified)
}
