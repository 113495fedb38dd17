//! A hook that reaches a replica that stands by: only the one that leads knows what is looked up.
//!
//! Guarantees: passed on once, as it arrived, to the address that the leader wrote into the Lease; the leader checks
//! everything again. May not: go anywhere else, or follow a redirect.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use reqwest::Client;

use crate::ports::{Fence, lease::Leader};

/// Says that a hook was passed on: it is not passed on again.
const RELAYED: &str = "lockkeeper-relayed";

/// Knows who leads.
pub struct Relay {
    fence: Fence,
    leader: Arc<dyn Leader>,
    client: Client,
}

/// What to do with a hook.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// Take it.
    Here,
    /// Pass it on.
    To(SocketAddr),
    /// Nobody can take it now.
    Nowhere,
}

impl Relay {
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(fence: Fence, leader: Arc<dyn Leader>) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self { fence, leader, client })
    }

    /// Where a hook with these headers goes.
    #[must_use]
    pub fn way(&self, headers: &HeaderMap) -> Way {
        if self.fence.holds() {
            return Way::Here;
        }
        match self.leader.address() {
            Some(address) if !headers.contains_key(RELAYED) => Way::To(address),
            _ => Way::Nowhere,
        }
    }

    /// Passes it on; the leader's answer.
    pub async fn pass(
        &self,
        to: SocketAddr,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Option<StatusCode> {
        let mut headers = headers.clone();
        for hop in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING] {
            headers.remove(hop);
        }
        headers.insert(RELAYED, HeaderValue::from_static("1"));
        let request = self.client.post(format!("http://{to}{path}")).headers(headers).body(body);
        match request.send().await {
            Ok(answer) => Some(answer.status()),
            Err(error) => {
                // The path may hold a secret.
                tracing::warn!(error = %error.without_url(), leader = %to, "a hook could not be passed on to the leader");
                None
            }
        }
    }
}
