//! Judges a listing, asking the registry for what else decides: dates of builds, Quarantines, platforms, signatures.

use super::{
    held::Held,
    listing::Listed,
    look::{Against, Look, Looked},
    signed::Signatures,
};
use crate::cli::{exit::Failure, output::say};
use jiff::Timestamp;
use lockkeeper_core::{
    select::{Explained, Selection, explain},
    signature::Verify,
};

/// What a listing is held against.
pub struct Judge<'a> {
    pub selection: &'a Selection,
    /// Whose signature is asked for.
    pub verify: Option<&'a Verify>,
    /// How such a signature is judged, where it can be.
    pub signatures: Option<Signatures>,
    pub held: Held,
    /// What is known of tags already: these are not looked at again.
    pub looked: Looked,
}

impl Judge<'_> {
    pub async fn judge(
        mut self,
        look: &Look,
        listed: &[Listed],
        now: Timestamp,
    ) -> Result<Explained, Failure> {
        let mut dates = look.dates(self.selection, listed).await?;
        match look.registry() {
            Some(ask) => self.held.look_up(ask).await?,
            None => self.held.by_name(&mut self.looked),
        }
        loop {
            let tags = listed.iter().map(|listed| listed.tag.as_str());
            let found = explain(
                self.selection,
                tags,
                now,
                |tag| dates.get(tag.as_str()).copied(),
                |ranked| self.looked.refused(ranked),
            );
            let Some(chosen) = &found.chosen else { return Ok(found) };
            if self.looked.is_taken(chosen) {
                return Ok(found);
            }
            if look.date(self.selection, chosen, &mut dates).await? {
                continue;
            }
            let platforms = &self.selection.platforms;
            let asked_for = !platforms.is_empty() || self.verify.is_some();
            let Some(ask) = look.registry().filter(|_| asked_for || !self.held.is_empty()) else {
                if asked_for {
                    say("platforms and signatures were not looked at: no registry is asked");
                }
                return Ok(found);
            };
            let against = Against { platforms, held: &self.held, signatures: self.signatures.as_ref() };
            match ask.check(&against, chosen).await? {
                Some(refusal) => self.looked.refuse(refusal),
                None => return Ok(found),
            }
        }
    }
}
