//! Counts the requests that go to the API server, where they leave the client.
//!
//! Guarantees: each counts once, also one that nobody waited for to the end; what is counted of its path are the
//! resource and its subresource, never a name. May not: change or hold up a request.

use super::Metrics;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, Uri};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Puts the counting around a client.
#[derive(Clone)]
pub struct CountRequests(pub Arc<Metrics>);

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: Arc::clone(&self.0) }
    }
}

/// A client whose requests are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send,
    R: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = asked(request.method(), request.uri());
        let mut one = One { metrics: Arc::clone(&self.metrics), verb, resource, code: "none" };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            one.ended(answer.as_ref().ok().map(Response::status));
            answer
        })
    }
}

/// Counted when it is over, whatever ended it.
struct One {
    metrics: Arc<Metrics>,
    verb: &'static str,
    resource: String,
    code: &'static str,
}

impl One {
    fn ended(&mut self, status: Option<StatusCode>) {
        self.code = status.map_or("none", class);
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.metrics.api_request(self.verb, std::mem::take(&mut self.resource), self.code);
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

/// The verb as RBAC has it, and `plural.group/subresource`; `other` for what names no resource, such as `/version`.
fn asked(method: &Method, uri: &Uri) -> (&'static str, String) {
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => ("", &[][..]),
    };
    let (resource, rest) = match rest {
        ["namespaces", _, resource, rest @ ..] | [resource, rest @ ..] => (*resource, rest),
        [] => return (verb(method, uri, true), "other".to_owned()),
    };
    let dot = if group.is_empty() { "" } else { "." };
    let subresource = rest.get(1).map(|name| format!("/{name}")).unwrap_or_default();
    (verb(method, uri, !rest.is_empty()), format!("{resource}{dot}{group}{subresource}"))
}

fn verb(method: &Method, uri: &Uri, named: bool) -> &'static str {
    let watches =
        || uri.query().is_some_and(|query| query.split('&').any(|q| q == "watch=true" || q == "watch=1"));
    match (method.as_str(), named) {
        ("GET", true) => "get",
        ("GET", false) if watches() => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::convert::Infallible;
    use tower::{ServiceExt as _, service_fn};

    #[test]
    fn a_path_is_read_as_rbac_reads_it() {
        for (method, uri, verb, resource) in [
            (Method::GET, "/api/v1/pods?watch=true&resourceVersion=1", "watch", "pods"),
            (Method::GET, "/api/v1/pods?limit=500", "list", "pods"),
            (Method::GET, "/api/v1/namespaces", "list", "namespaces"),
            (Method::GET, "/api/v1/namespaces/shop", "get", "namespaces"),
            (Method::PATCH, "/api/v1/namespaces/shop/pods/a-1", "patch", "pods"),
            (Method::GET, "/apis/apps/v1/deployments", "list", "deployments.apps"),
            (
                Method::PUT,
                "/apis/lockkeeper.dev/v1alpha1/namespaces/p/imagepolicies/otel/status",
                "update",
                "imagepolicies.lockkeeper.dev/status",
            ),
            (
                Method::POST,
                "/apis/lockkeeper.dev/v1alpha1/namespaces/p/imagepins",
                "create",
                "imagepins.lockkeeper.dev",
            ),
            (Method::DELETE, "/apis/a.b/v1/namespaces/p/things/x", "delete", "things.a.b"),
            (Method::DELETE, "/apis/a.b/v1/namespaces/p/things", "deletecollection", "things.a.b"),
            (Method::GET, "/version", "get", "other"),
        ] {
            assert_eq!(asked(&method, &uri.parse().unwrap()), (verb, resource.to_owned()), "{method} {uri}");
        }
    }

    /// Asks once; `answer` is what comes, if anything does.
    async fn counted(answer: Option<StatusCode>) -> String {
        let metrics = Arc::new(Metrics::new());
        let server = service_fn(move |_: Request<()>| async move {
            match answer {
                Some(status) => {
                    let mut response = Response::new(());
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }
                None => std::future::pending().await,
            }
        });
        let client = CountRequests(Arc::clone(&metrics)).layer(server);
        let request = Request::get("/api/v1/namespaces/shop/pods/a").body(()).unwrap();
        let asked = tokio::time::timeout(std::time::Duration::from_secs(1), client.oneshot(request)).await;
        assert_eq!(asked.is_ok(), answer.is_some());
        metrics.render(&[], Timestamp::UNIX_EPOCH).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_counts_once_by_what_came_of_it() {
        for (answer, code) in [
            (Some(StatusCode::OK), "2xx"),
            (Some(StatusCode::CONFLICT), "4xx"),
            (Some(StatusCode::SERVICE_UNAVAILABLE), "5xx"),
            // Nobody waited any more.
            (None, "none"),
        ] {
            let text = counted(answer).await;
            let line = format!(
                "lockkeeper_api_requests_total{{verb=\"get\",resource=\"pods\",code=\"{code}\"}} 1\n"
            );
            assert!(text.contains(&line), "{text}");
            assert_eq!(text.matches("lockkeeper_api_requests_total{").count(), 1, "{text}");
        }
    }
}
