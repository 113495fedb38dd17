//! What works beside the passes: a pass gives it something to ask or to do, and a later one sees what came of it.

use super::{deliveries::Deliveries, lookups::Lookups, measurements::Measurements, notices::Notices};
use crate::ports::PolicyKey;

/// All of it. Clones share one state.
#[derive(Clone)]
pub struct Background {
    /// What registries say.
    pub lookups: Lookups,
    /// What is measured.
    pub measurements: Measurements,
    /// What people outside are told.
    pub notices: Notices,
    /// What repositories say, and are given.
    pub deliveries: Deliveries,
}

impl Background {
    /// A policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        self.lookups.forget(key);
        self.measurements.forget(key);
        self.notices.forget(key);
        self.deliveries.forget(key);
    }
}
