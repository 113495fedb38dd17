//! The Service of the webhook, where there is no kube-proxy: a name for this machine, and a port behind which the first
//! replica that accepts gets the connection.

use anyhow::Result;
use e2e::Bed;
use e2e::install::{CONTROLLER, apply_object, pins_at_birth};
use lockkeeper_api::names::WEBHOOK;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Way(JoinHandle<()>);

impl Drop for Way {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Way {
    /// To these ports; the API server is told by the Service and by the webhook's port.
    pub async fn to(bed: &Bed, backends: Vec<u16>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let admin = bed.admin().await?;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": WEBHOOK, "namespace": CONTROLLER.0},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        });
        apply_object(&admin, service).await?;
        let mut webhook = pins_at_birth("webhook")?;
        webhook["webhooks"][0]["clientConfig"]["service"]["port"] = json!(port);
        crate::say(&admin, &json!({"webhook": webhook.to_string()})).await?;
        Ok(Self(tokio::spawn(async move {
            while let Ok((mut inward, _)) = listener.accept().await {
                let backends = backends.clone();
                tokio::spawn(async move {
                    for port in backends {
                        if let Ok(mut outward) = TcpStream::connect(("127.0.0.1", port)).await {
                            // Either side may go away.
                            let _ended = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
                            return;
                        }
                    }
                });
            }
        })))
    }
}
