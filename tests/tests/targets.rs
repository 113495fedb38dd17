//! What policies do to their targets, seen from outside: a real API server, kube-controller-manager and registry,
//! simulated nodes, and the controller as its own ServiceAccount.

#[path = "targets/contested.rs"]
mod contested;
#[path = "targets/input.rs"]
mod input;
#[path = "targets/kinds.rs"]
mod kinds;
#[path = "targets/leftovers.rs"]
mod leftovers;
#[path = "targets/pins.rs"]
mod pins;
#[path = "targets/pods.rs"]
mod pods;
#[path = "targets/rights.rs"]
mod rights;
#[path = "targets/workloads.rs"]
mod workloads;
