//! What the tests and benchmarks ask instead of a real registry is checked against the real one.

#[path = "registries/synthetic.rs"]
mod synthetic;
