//! Two replicas: one writes, the other stands by; whatever happens to the one that writes in the middle of the
//! incident, the other finishes it, to the same end, and nothing that the first one sent comes in between.

#[path = "replicas/handover.rs"]
mod handover;
#[path = "replicas/lease.rs"]
mod lease;
#[path = "replicas/pair.rs"]
mod pair;
#[path = "replicas/story.rs"]
mod story;
#[path = "replicas/versions.rs"]
mod versions;
