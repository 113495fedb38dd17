//! References, digests and releases of images.
