//! How requests are signed, for whoever sends some. Pure: nothing here asks anybody.

pub mod webhooks;
