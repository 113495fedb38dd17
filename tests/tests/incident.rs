//! The spine: the incident happens on a real control plane, is taken back, and the fixed release goes through.

use anyhow::{Result, ensure};
use e2e::demo::{PROD, Screen, WAVE, World, play};
use e2e::run;

#[test]
fn the_incident_is_taken_back() {
    run("the_incident_is_taken_back", async |test| -> Result<()> {
        let screen = Screen::default();
        let mut world = World::build(test.bed, &screen).await?;
        let outcome = play(&mut world).await?;
        screen.text(&outcome.summary());
        let failed: Vec<String> = outcome
            .claims()
            .into_iter()
            .filter_map(|claim| Some(format!("{}: {}", claim.what, claim.failure?)))
            .collect();
        ensure!(failed.is_empty(), "{}\n{outcome:#?}", failed.join("\n"));

        let prod = outcome.stages.iter().find(|stage| stage.name == PROD);
        ensure!(prod.is_some_and(|prod| prod.ever_bad == WAVE && prod.fixed == 30 && prod.bad_crashes > 0));
        ensure!(outcome.births.len() == 2, "{:?}", outcome.births);
        ensure!(outcome.application_restarts == 0 && outcome.restarts_at_adoption == 0);
        ensure!(outcome.quarantined == ["0.29.0"]);
        Ok(())
    });
}
