//! The health engine: sequential tests over counts of crashes.
