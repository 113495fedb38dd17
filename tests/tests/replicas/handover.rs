//! The leader ends in the middle of the incident: told to, killed, stopped for longer than its lease.

use anyhow::{Context as _, Result, ensure};
use e2e::process::Signal;
use e2e::run;

use crate::pair::{Pair, Write, is_leader, leads};
use crate::story::Story;

#[test]
fn with_nothing_going_wrong_one_writes_and_the_other_stands_by() {
    run("with_nothing_going_wrong_one_writes_and_the_other_stands_by", async |test| -> Result<()> {
        let pair = Pair::start(test.bed, None).await?;
        Story::begin(test, &pair.first).await?.end().await?;
        ensure!(pair.leaders()? == 1 && !is_leader(&pair.second).await?);
        pair.nothing_stale_landed()?;
        pair.second.terminate().await?;
        pair.first.terminate().await
    });
}

#[test]
fn p7_told_to_end_it_hands_over_after_its_last_write() {
    run("p7_told_to_end_it_hands_over_after_its_last_write", async |test| -> Result<()> {
        let pair = Pair::start(test.bed, None).await?;
        let story = Story::begin(test, &pair.second).await?;
        pair.first.terminate().await?;
        leads(&pair.second).await?;
        story.end().await?;
        ensure!(pair.leaders()? == 2);
        ensure!(pair.nothing_stale_landed()? == 0, "it had stopped before it gave the Lease back");
        let writes = pair.writes()?;
        let given_back = writes.iter().position(Write::gives_back);
        let given_back = given_back.context("the Lease was not given back")?;
        let credential = &writes[given_back].credential;
        let last = writes.iter().rposition(|write| write.credential == *credential);
        ensure!(last == Some(given_back), "it wrote after it gave the Lease back");
        let led = pair.told_on_the_lease()?;
        ensure!(led == ["first", "second"], "who leads is told on the Lease, once each: {led:?}");
        pair.second.terminate().await
    });
}

#[test]
fn p1_killed_it_is_followed() {
    run("p1_killed_it_is_followed", async |test| -> Result<()> {
        let pair = Pair::start(test.bed, None).await?;
        let story = Story::begin(test, &pair.second).await?;
        pair.first.kill().await?;
        leads(&pair.second).await?;
        // As its kubelet would.
        pair.first.restart().await?;
        story.end().await?;
        ensure!(!is_leader(&pair.first).await?, "two lead");
        pair.nothing_stale_landed()?;
        pair.first.terminate().await?;
        pair.second.terminate().await
    });
}

#[test]
fn p2_sigstop_past_expiry() {
    run("p2_sigstop_past_expiry", async |test| -> Result<()> {
        let pair = Pair::start(test.bed, None).await?;
        let story = Story::begin(test, &pair.second).await?;
        let stopped = pair.first.part().running().await?;
        stopped.signal(Signal::STOP)?;
        leads(&pair.second).await?;
        stopped.signal(Signal::CONT)?;
        let status = stopped.exited().await?;
        ensure!(status.code() == Some(1), "it led and does not any more: {status}");
        let log = pair.first.log()?;
        ensure!(log.contains("leads no more"), "{log}");
        story.end().await?;
        ensure!(pair.leaders()? == 2);
        pair.nothing_stale_landed()?;
        pair.second.terminate().await
    });
}
