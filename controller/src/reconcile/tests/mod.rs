//! The pipeline over a world in memory, in virtual time.

mod delivered;
mod fakes;
mod last_words;
mod lookups;
mod material;
mod measured;
mod notices;
mod passes;
mod proposed;
mod refusals;
mod signed;
mod signing_in;
mod telling;
