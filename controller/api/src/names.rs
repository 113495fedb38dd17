//! Every name that Lockkeeper writes into a cluster: group, annotations, labels, identities.
//!
//! A name that is not here is not used anywhere.

/// API group of the four kinds.
pub const GROUP: &str = "lockkeeper.dev";
/// Version of the four kinds.
pub const VERSION: &str = "v1alpha1";

/// On a pod that was moved in place: `<attempt>/<from>/<deaths before>/<unix seconds>`.
pub const MOVED: &str = "lockkeeper.dev/moved";
/// On a pod that was born with a pin: the pin's name. Written by the API server itself.
pub const PINNED_BY: &str = "lockkeeper.dev/pinned-by";
/// Label on a pod or a namespace that is left alone, whatever its value.
pub const IGNORE: &str = "lockkeeper.dev/ignore";
/// On an `ImagePin` that a person edited: until when (RFC 3339) the edit is obeyed.
pub const MANUAL_UNTIL: &str = "lockkeeper.dev/manual-until";
/// On an `ImagePin`: hash of the spec as the controller wrote it.
pub const WRITTEN: &str = "lockkeeper.dev/written";
/// On an `ImagePin` whose policy is gone and that was told to stay: since when (RFC 3339).
pub const ORPHANED: &str = "lockkeeper.dev/orphaned";
/// On an `ImagePolicy`: look at its registry now. Any value that was not there before asks once.
pub const REQUESTED_AT: &str = "lockkeeper.dev/requestedAt";
/// On the Lease of the election: where the replica that holds it takes hooks.
pub const HOOKS: &str = "lockkeeper.dev/hooks";

/// On a `Quarantine` that a person releases: who, and why. It is deleted right after, so this is for the audit log.
pub const RELEASED: &str = "lockkeeper.dev/released";

/// The controller's field manager.
pub const FIELD_MANAGER: &str = "lockkeeper";
/// The namespace the controller is installed into.
pub const NAMESPACE: &str = "lockkeeper-system";
/// Name of what pins pods at birth: the `MutatingAdmissionPolicy` and its binding, the webhook where these are not served,
/// and the `ConfigMap` that says how they are to be.
pub const PIN_AT_BIRTH: &str = "lockkeeper-pin-at-birth";
/// Name of the webhook's Service, and of the Secret with its certificates.
pub const WEBHOOK: &str = "lockkeeper-webhook";
/// Path of the webhook that pins pods at birth.
pub const WEBHOOK_PATH: &str = "/pin-at-birth";
/// The controller's `ClusterRole`: with it goes what the controller made for the whole cluster.
pub const CLUSTER_ROLE: &str = "lockkeeper-controller";
