//! The client against scripted registries on loopback: 127.0.0.2 is an allowed registry, 127.0.0.9 the canary that
//! nobody may reach. Names of tests begin with the faults they inject.

mod auth;
mod cloud;
mod honest;
mod listing;
mod lookups;
mod reach;
mod signatures;
mod sizes;
mod support;
