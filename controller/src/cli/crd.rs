//! `lockkeeper crd`: the definitions, ready for `kubectl apply -f -`.

use super::{Failure, print};

pub fn run() -> Result<(), Failure> {
    let documents: Vec<String> = lockkeeper_api::crds().into_iter().map(|(_, yaml)| yaml).collect();
    print(&documents.join("---\n"))
}
