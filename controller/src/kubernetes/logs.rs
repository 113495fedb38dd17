//! What a container said last, read as the policy's `ServiceAccount` and never with the controller's own rights.
//!
//! Guarantees: at most [`LINES`] lines and [`BYTES`] bytes are asked for. May not: store or show a log; whoever reads it keeps
//! a line at most.

use super::{Kubernetes, failure::Call};
use crate::ports::{DeadContainer, EffectError, Identity};
use http::Request;

/// Lines of the end of a log: a runtime's last words with the stacks below them.
const LINES: u32 = 100;
/// The same in bytes. Of more the kubelet leaves out the end, which is what counts: room for lines of 2,600 bytes.
const BYTES: u32 = 256 * 1024;

impl Kubernetes {
    pub(super) async fn log_read(
        &self,
        identity: &Identity,
        dead: &DeadContainer,
    ) -> Result<String, EffectError> {
        let DeadContainer { namespace, pod, container, previous, .. } = dead;
        let call = Call { verb: "get", resource: "pods/log", namespace, name: pod, identity: Some(identity) };
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("container", container)
            .append_pair("previous", if *previous { "true" } else { "false" })
            .append_pair("tailLines", &LINES.to_string())
            .append_pair("limitBytes", &BYTES.to_string())
            .finish();
        let request = Request::get(format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?{query}"))
            .body(Vec::new())
            .map_err(kube::core::request::Error::BuildRequest);
        self.caller.read(&call, request).await
    }
}
