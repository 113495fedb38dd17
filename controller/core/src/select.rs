//! Which tag of a listing is chosen, and why the others are not.
