//! Two versions side by side, as in an upgrade and in one that is taken back: the controller of an older commit and this one.

use anyhow::{Context as _, Result, ensure};
use e2e::scene::A_WHILE;
use e2e::{PATIENCE, eventually, programs, run};

use crate::pair::{Pair, Write, is_leader, is_ready, leads};
use crate::story::Story;

#[test]
#[ignore = "the older controller is compiled first, 4 minutes; make test-upgrade does both"]
fn p7_an_older_version_hands_over_and_takes_over_in_the_middle() {
    run("p7_an_older_version_hands_over_and_takes_over_in_the_middle", async |test| -> Result<()> {
        let older = programs::other_controller().await?;
        let pair = Pair::led_by(test.bed, None, older).await?;
        // The older one adopts, and has given 0.29.0 to the first pod when it is told to end.
        let story = Story::begin(test, &pair.second).await?;
        pair.first.terminate().await?;
        leads(&pair.second).await?;
        // It stands by from now on, as in a Deployment whose rollout has not ended.
        pair.first.restart().await?;
        is_ready(&pair.first).await?;
        story.end().await?;
        at_rest(&pair).await.context("the newer one leads")?;
        ensure!(is_leader(&pair.second).await? && !is_leader(&pair.first).await?, "another one leads");

        // The upgrade is taken back: what the newer one has written is read by the older one.
        let before = pair.writes()?.len();
        pair.second.terminate().await?;
        leads(&pair.first).await?;
        at_rest(&pair).await.context("the older one leads again")?;
        let of_both: Vec<Write> = pair.writes()?.into_iter().skip(before).filter(is_no_lease).collect();
        let written: Vec<_> = of_both.iter().map(|write| write.event.object()).collect();
        // What is only words may differ, once. Nothing is done.
        ensure!(written.len() <= 1, "written although nothing had happened: {written:?}");
        ensure!(written.iter().all(|object| object.subresource == "status"), "{written:?}");
        let next = story.scene.push("0.29.2").await?;
        story.scene.holds(&next.digest).await.context("0.29.2 goes through with the older one")?;

        // And it is upgraded again.
        pair.second.restart().await?;
        is_ready(&pair.second).await?;
        pair.first.terminate().await?;
        leads(&pair.second).await?;
        at_rest(&pair).await.context("the newer one leads again")?;
        let status = story.scene.holds(&next.digest).await?;
        ensure!(status.0["restoredAt"].is_null(), "the status was lost: {:#}", status.0);
        ensure!(status.verified().contains(&next.digest.as_str()), "{:#}", status.0);
        for replica in [&pair.first, &pair.second] {
            let log = replica.log()?;
            ensure!(!log.contains("cannot be read"), "one could not read what the other had written: {log}");
        }
        let turns = turns(&pair.writes()?)?;
        ensure!(turns == 4, "the Lease had {turns} holders in turn");
        pair.second.terminate().await
    });
}

/// How often the holder of the Lease changed; an error if anything was written by the one that did not hold it. A replica shows
/// the same token after it was started again.
fn turns(writes: &[Write]) -> Result<usize> {
    let (mut holder, mut turns) = (None, 0);
    for write in writes {
        if write.claims() {
            turns += usize::from(holder != Some(&write.credential));
            holder = Some(&write.credential);
        } else if write.gives_back() {
            holder = None;
        } else if is_no_lease(write) {
            ensure!(holder == Some(&write.credential), "not by the holder of the Lease: {:#?}", write.event);
        }
    }
    Ok(turns)
}

fn is_no_lease(write: &Write) -> bool {
    write.event.object().resource != "leases"
}

/// Waits until for a while nothing is written but the Lease.
async fn at_rest(pair: &Pair<'_>) -> Result<()> {
    let others = || -> Result<Vec<Write>> { Ok(pair.writes()?.into_iter().filter(is_no_lease).collect()) };
    eventually("nothing is written but the Lease", PATIENCE, async || {
        let before = others()?.len();
        tokio::time::sleep(A_WHILE).await;
        let now = others()?;
        let new: Vec<_> = now.iter().skip(before).map(|write| write.event.object()).collect();
        ensure!(new.is_empty(), "written: {new:?}");
        Ok(())
    })
    .await
}
